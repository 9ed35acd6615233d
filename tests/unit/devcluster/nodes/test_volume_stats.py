"""How full a claim is, in a kubelet's words."""

import pytest

from tunesmith_devcluster.nodes.volume_stats import quantity_bytes, volume_stats
from tunesmith_devcluster.nodes.volumes import MountedClaim


async def test_a_claim_is_as_full_as_the_files_in_its_folder(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-1").write_bytes(b"x" * 700)
    (tmp_path / "weights").write_bytes(b"x" * 300)
    (entry,) = await volume_stats({"storage": MountedClaim("tunesmith-jobs", "data", tmp_path, "2Ti")})
    assert entry["pvcRef"] == {"name": "data", "namespace": "tunesmith-jobs"}
    assert (entry["usedBytes"], entry["capacityBytes"]) == (1000, 2 * 2**40)


@pytest.mark.parametrize(
    ("text", "size"), [("1Ti", 2**40), ("5G", 5 * 10**9), ("12", 12), ("1.5Gi", 0), ("3Xi", 0), ("", 0)]
)
def test_sizes_are_read_in_kubernetes_words(text, size):
    assert quantity_bytes(text) == size
