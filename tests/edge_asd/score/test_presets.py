"""Named scorers are what a manifest can say."""

import pytest
from support.tiny import tiny_fields

from edge_asd.bundle.manifest import Manifest
from edge_asd.errors import ConfigError
from edge_asd.score import SCORERS, named_scorers


@pytest.mark.parametrize("name", [*SCORERS, "+".join(SCORERS)])
def test_every_name_stands_for_scorers_of_a_manifest(name):
    chosen = named_scorers(name, "tiny")
    fields = {**tiny_fields(), "scorers": [spec.model_dump() for spec in chosen]}
    assert Manifest.model_validate({"schema": 1, "files": {}, **fields}).scorers == chosen
    assert [spec.id for spec in chosen] == name.split("+")


def test_names_differ_in_what_they_stand_for():
    specs = [named_scorers(name, "tiny")[0].model_dump(exclude={"id"}) for name in SCORERS]
    assert all(specs.count(spec) == 1 for spec in specs)


def test_the_published_scorer_has_sixteen_centres():
    (published,) = named_scorers("published", "tiny")
    assert (published.kind, published.clusters, published.network) == ("centres", 16, "tiny")


@pytest.mark.parametrize("names", ["", "forest", "knn+", "knn+forest", "Published"])
def test_an_unknown_name_is_refused_with_the_known_ones(names):
    with pytest.raises(ConfigError, match="choose of published, means, knn"):
        named_scorers(names, "tiny")


def test_a_scorer_cannot_be_fused_with_itself():
    with pytest.raises(ConfigError, match="scorer knn stands twice"):
        named_scorers("knn+ldn+knn", "tiny")
