"""From dataset files to token ids and labels: reads rows, masks what is not learnt, drops what teaches nothing."""
