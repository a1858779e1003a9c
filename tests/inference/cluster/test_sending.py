"""Files that are sent to the workers."""

import pytest
import tifffile
from skimage.data import coins

pytest.importorskip("distributed")


def test_parts_in_other_files_are_not_sent(tmp_path, run, workers, caplog):
    """A set of two OME-TIFFs, each a channel: the remedy is to share their folder."""
    files = [f"c{i}.ome.tif" for i in range(2)]
    channels = "".join(f'<Channel ID="Channel:0:{i}" SamplesPerPixel="1"/>' for i in range(2))
    planes = "".join(
        f'<TiffData FirstC="{i}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{i}</UUID></TiffData>'
        for i, name in enumerate(files)
    )
    for i, name in enumerate(files):
        xml = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{i}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="128" SizeY="96" '
            f'SizeC="2" SizeZ="1" SizeT="1">{channels}{planes}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / "in" / name, coins()[:96, :128], description=xml, metadata=None)
    alone = run("one")[1]
    workers.wait_for_workers(2, timeout=300)  # one that a test has killed takes a while to begin anew
    sent = run("many", "--dask", workers.scheduler.address, "--dask-files", "send")[1]
    assert "c1.ome.tif); each file is sent alone: use --dask-files shared" in sent[0]["status"]
    assert alone[0]["status"] == "done"
    assert sent[1] == alone[1], "which belongs to the first"
    assert "2 workers, to which the images are sent: as --dask-files says" in caplog.text
