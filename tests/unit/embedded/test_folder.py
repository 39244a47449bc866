"""A folder belongs to one running process, which says where it answers."""

import pytest

from concordat.embedded.folder import FolderInUse, only_one, running_at

URL = "http://127.0.0.1:8000"


def test_a_second_process_is_refused_and_learns_where_the_first_answers(tmp_path):
    with only_one(tmp_path, URL):
        assert running_at(tmp_path) == URL
        with pytest.raises(FolderInUse, match=f"already, at {URL}"), only_one(tmp_path, "http://other"):
            pass
        assert running_at(tmp_path) == URL


def test_what_has_ended_runs_no_more(tmp_path):
    assert running_at(tmp_path / "never") is None
    with only_one(tmp_path, URL):
        pass
    assert running_at(tmp_path) is None
    with only_one(tmp_path, "http://127.0.0.1:9"):
        assert running_at(tmp_path) == "http://127.0.0.1:9"
