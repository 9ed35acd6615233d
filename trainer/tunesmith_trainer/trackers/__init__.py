"""Weights & Biases, MLflow and TensorBoard, by option: they hear of training, and training never waits for them."""
