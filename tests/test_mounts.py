import os

import pytest

from hdf5_helper.storage.network import on_network


@pytest.fixture
def asked(tmp_path):
    """Asks of a file on `tmp_path` by a list of mounts in which {here} is the device that it lies on."""
    device = tmp_path.stat().st_dev
    here = f"{os.major(device)}:{os.minor(device)}"

    def ask(text):
        (tmp_path / "mountinfo").write_text(text.replace("{here}", here))
        return on_network(tmp_path, tmp_path / "mountinfo")

    return ask


LOCAL = "22 1 259:9999 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw\n"


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("nfs", "server:/data"),
        ("nfs4", "server:/data"),
        ("cifs", "//server/data"),
        ("smb3", "//server/data"),
        ("lustre", "10.0.0.1@tcp:/data"),
        ("ceph", "10.0.0.1:/"),
        ("9p", "hostshare"),
        ("fuse.sshfs", "user@server:/data"),
        ("fuse.glusterfs", "server:/data"),
    ],
)
def test_a_file_on_a_mounted_network_disk_is_on_the_network(asked, kind, source):
    line = f"36 22 {{here}} /sub /mnt/my\\040data rw,noatime shared:2 master:1 - {kind} {source} rw,vers=4.2\n"
    assert asked(LOCAL + line)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs"])
def test_a_file_on_a_local_disk_is_not(asked, kind):
    assert not asked(LOCAL + f"36 22 {{here}} / /mnt rw - {kind} /dev/sda1 rw\n")


def test_a_network_disk_that_the_file_does_not_lie_on_does_not_matter(asked):
    other = "40 22 0:99999 / /mnt/share rw - nfs4 server:/data rw\n"
    assert not asked(other + "36 22 {here} / /nfs rw,nfs - ext4 /dev/nfs rw\n")


@pytest.mark.parametrize("text", ["", "\n", "36 22\n", "36 22 {here}\n", "36 22 {here} / /mnt rw nfs\n"])
def test_a_list_that_says_nothing_of_the_file_puts_it_on_no_network(asked, text):
    assert not asked(text)


def test_without_a_list_nothing_is_on_a_network(tmp_path):
    assert not on_network(tmp_path, tmp_path / "missing")
