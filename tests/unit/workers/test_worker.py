"""What is a worker's own."""

import os

import pytest

from inferstream.errors import SettingsError
from inferstream.settings import KafkaSettings, Settings
from inferstream.workers.worker import Line, own_settings


def test_workers_with_a_name_in_their_groups_have_one_each() -> None:
    settings = Settings(kafka=KafkaSettings(group_instance_id="pod-7"))
    names = [own_settings(settings, number).kafka.group_instance_id for number in range(3)]
    assert names == ["pod-7-0", "pod-7-1", "pod-7-2"]


def test_workers_without_one_stay_without() -> None:
    assert own_settings(Settings(), 1) == Settings()


async def test_a_descriptor_that_no_parent_left_open_is_told() -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with pytest.raises(SettingsError, match="no parent process"):
        await Line.open(write)
