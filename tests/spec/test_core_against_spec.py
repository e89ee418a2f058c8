"""The real core, held to the specification: by hand-written stories first."""

from __future__ import annotations

import pytest

from tests.spec.core import CoreTeller
from tests.spec.expectations import STORIES
from tests.spec.storytelling import tell


@pytest.mark.parametrize("name", STORIES)
def test_core_tells_the_same_stories(name):
    n, me, script = STORIES[name]
    tell(script, CoreTeller(n, me), n)
