"""Known failures of agreement protocols, as stories that the real cores have to get right."""

from __future__ import annotations

import pytest

from tests.scenarios.language import ScenarioError, parse
from tests.scenarios.runner import all_scenarios, play


@pytest.mark.parametrize("path", all_scenarios(), ids=lambda path: path.stem)
def test_the_story_goes_as_told(path, tmp_path):
    play(path, tmp_path)


def test_there_are_at_least_twenty_stories_with_title_and_source():
    stories = [parse(path) for path in all_scenarios()]
    assert len(stories) >= 20
    assert len({story.title for story in stories}) == len(stories)
    assert all(len(story.source) > 10 for story in stories)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("expect A decides X", "there is no block X"),
        ("deliver PREPARE 0 of A to B", "A has not sent"),
        ("expect A sends COMMIT 0", "A has not sent"),
        ("A dances", "no phrase matches"),
        ("timeout A round 3", "no such timer"),
        ("A sends COMMIT 0 X to B", "only Byzantine"),
    ],
)
def test_a_story_that_does_not_hold_fails_with_its_line(line, words, tmp_path):
    path = tmp_path / "story.txt"
    path.write_text(f"title: t\nsource: s\nvalidators 4\nstart all\n{line}\nexpect no evidence\n", encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"story\.txt:5: .*" + words):
        play(path, tmp_path / "logs")


def test_an_honest_signature_cannot_be_forged(tmp_path):
    path = tmp_path / "story.txt"
    story = [
        "title: t",
        "source: s",
        "validators 4",
        "byzantine D",
        "start all",
        "A proposes X",
        "D sends ROUND-CHANGE 1 prepared (0, X) with prepares of A,B,D to A",
        "expect no evidence",
    ]
    path.write_text("\n".join(story), encoding="utf-8")
    with pytest.raises(ScenarioError, match="nobody can forge it"):
        play(path, tmp_path / "logs")
