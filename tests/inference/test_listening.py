"""What is logged is heard as long as one listens."""

import logging

import pytest

from inference.listening import Listener, heard


def test_records_are_heard_meanwhile():
    logger, records = logging.getLogger("a.test"), []
    logger.warning("before")
    with pytest.raises(ValueError), heard(logging.getLogger("a"), records.append):
        logger.warning("meanwhile %d", 1)
        raise ValueError
    logger.warning("after")
    assert [record.getMessage() for record in records] == ["meanwhile 1"]


def test_a_listener_has_a_level():
    logger, records = logging.getLogger("b"), []
    logger.setLevel(logging.DEBUG)
    logger.addHandler(Listener(records.append, logging.WARNING))
    logger.info("not")
    logger.warning("heard")
    assert [record.getMessage() for record in records] == ["heard"]
