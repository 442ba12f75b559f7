"""``edge-asd-train evaluate``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from edge_asd.errors import StorageError, UsageError
from edge_asd_train.cli.common import FILE, FOLDER, progress_bars
from edge_asd_train.datasets.discover import LAYOUT_NAMES, index_folder
from edge_asd_train.datasets.fingerprint import data_fingerprint
from edge_asd_train.datasets.index import Index
from edge_asd_train.evaluate.clips import ProgressFactory
from edge_asd_train.evaluate.contest import ScoredSection, score_sections, unscored
from edge_asd_train.evaluate.first_shot import (
    Described,
    choose_machines,
    read_description,
    training_of,
)
from edge_asd_train.evaluate.methods import Method
from edge_asd_train.evaluate.network import NetworkMethod
from edge_asd_train.evaluate.official_csv import evaluate_csv
from edge_asd_train.evaluate.report import (
    Truth,
    Verdict,
    check_names,
    describe_data,
    judge,
    settle_rules,
    write_report,
    write_score_files,
)
from edge_asd_train.evaluate.rules import RULES
from edge_asd_train.evaluate.subject import BASELINES, Subject, open_method


@click.command()
@click.option("--run", type=FOLDER, help="Folder of a finished run.")
@click.option("--bundle", type=FILE, help="A bundle, measured as a device runs it.")
@click.option("--baseline", type=click.Choice(BASELINES), help="Instead of a network.")
@click.option("--data", type=FOLDER, help="Folder that holds the machines.")
@click.option("--layout", type=click.Choice(LAYOUT_NAMES), help="Of --data; auto by default.")
@click.option("--scorer", "scorers", multiple=True, help="Several are fused; bundle by default.")
@click.option("--engine", type=click.Choice(["torch", "onnx"]), help="onnx exports a run first.")
@click.option("--device", help="Of torch: auto, cpu, cuda, cuda:N or mps.")
@click.option("--threads", type=click.IntRange(1), help="Processor threads; all by default.")
@click.option("--rules", type=int, help="Year, 2020 to 2026; the layout's, else 2023.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--scores", type=FOLDER, help="Official score CSVs, instead of --data.")
@click.option("--ground-truth", type=FOLDER, help="Official ground truth CSVs.")
@click.option("--domains", type=FOLDER, help="Official domain CSVs, from 2022 on.")
@click.option("--compat", is_flag=True, help="With --scores: repeat the faults of 2022's tool.")
@click.option("--first-shot", is_flag=True, help="Unheard kinds of a simulated set, by severity.")
@click.option("--all-kinds", is_flag=True, help="With --first-shot: heard kinds too.")
@click.option("--out", type=FOLDER, help="Folder of tables, CSVs, pictures and embeddings.")
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
@click.option("--no-pictures", is_flag=True)
def evaluate(
    *,
    data: Path | None,
    layout: str | None,
    rules: int | None,
    seed: int,
    scores: Path | None,
    ground_truth: Path | None,
    domains: Path | None,
    compat: bool,
    first_shot: bool,
    all_kinds: bool,
    out: Path | None,
    as_json: bool,
    no_pictures: bool,
    **subject: Any,
) -> None:
    """Measure a run, a bundle or a baseline by the official metrics.

    Scorers: bundle (those of the manifest, fused as the daemon does), published, means, knn, ldn,
    smote, memmixup, log_mel, level. Embeddings are kept in --out: another --scorer takes seconds.

    --first-shot needs a set that simulate wrote. It measures the machines of kinds that training
    left out, AUC by severity and by fault; a baseline heard none and is measured on all.

    \b
    Example:
      edge-asd-train evaluate --run runs/one --data dcase2023/dev_data --scorer ldn --out eval
      edge-asd-train evaluate --run runs/one --data simulated --first-shot --out eval
      edge-asd-train evaluate --scores SCORES --ground-truth TRUTH --domains DOMAINS --rules 2022
    """  # noqa: D301
    chosen = Subject(**subject)
    if rules is not None and rules not in RULES:
        raise UsageError(f"--rules {rules}: choose a year from {min(RULES)} to {max(RULES)}")
    given = {"--scores": scores, "--ground-truth": ground_truth, "--domains": domains}
    _check_together(given, first_shot=first_shot, all_kinds=all_kinds)
    truth = None if ground_truth is None else Truth(ground_truth, domains)
    if scores is not None:
        if chosen != Subject() or data is not None or layout is not None:
            raise UsageError("--scores are measured as they are: name no run, data, layout, scorer")
        if truth is None or rules is None:
            raise UsageError("--scores needs --ground-truth and --rules")
        evaluation = evaluate_csv(
            scores, truth.ground_truth, truth.domains, rules, compat=compat, seed=seed
        )
        verdict, about = Verdict(evaluation, (), ()), {"scores": scores.resolve().name}
        if out is not None:
            _make(out)
            write_report(out, verdict, about)
    else:
        if data is None or out is None:
            raise UsageError("give --data and --out, or --scores and --ground-truth")
        if compat:
            raise UsageError("--compat belongs to --scores")
        index = index_folder(data, layout or "auto")
        verdict, about = _measure(
            chosen,
            index,
            out,
            rules=rules,
            seed=seed,
            truth=truth,
            described=read_description(index) if first_shot else None,
            all_kinds=all_kinds,
            pictures=not no_pictures,
        )
    if as_json:
        click.echo(json.dumps({**verdict.as_json(), **about}, ensure_ascii=False))
    else:
        click.echo(verdict.as_markdown(), nl=False)


def _check_together(given: Mapping[str, Path | None], *, first_shot: bool, all_kinds: bool) -> None:
    """Refuse options of which one is nothing without another, or says the same as another."""
    if given["--domains"] is not None and given["--ground-truth"] is None:
        raise UsageError("--domains belongs to --ground-truth: give both")
    if all_kinds and not first_shot:
        raise UsageError("--all-kinds belongs to --first-shot")
    if first_shot and any(given.values()):
        raise UsageError("--first-shot reads the truth in --data: no --scores, no --ground-truth")


def _measure(
    subject: Subject,
    index: Index,
    out: Path,
    *,
    rules: int | None,
    seed: int,
    truth: Truth | None,
    described: Described | None,
    all_kinds: bool,
    pictures: bool,
) -> tuple[Verdict, dict[str, Any]]:
    """Score a data set and write everything to ``out``."""
    check_names(index)
    sections = unscored(index)
    if truth is None:
        settle_rules(sections, index.layout, rules)  # what it refuses is not scored first
    with _bars() as bar:
        method, about = open_method(
            subject, cache=out / "embeddings", sections=len(sections), seed=seed, progress=bar
        )
        case = None
        if described is not None:
            case = choose_machines(index, described, training_of(method), all_kinds=all_kinds)
            index = case.index
        _make(out)
        scored = score_sections(method, index, progress=bar)
    write_score_files(out, scored, index.layout, rules)
    told = None if truth is None else (truth, out)
    verdict = judge(scored, index.layout, rules, truth=told, seed=seed)
    if case is not None:
        notes = (*verdict.notes, *case.notes)
        verdict = dataclasses.replace(verdict, first_shot=case.grade(scored), notes=notes)
    about["data"] = describe_data(index, data_fingerprint(index))
    write_report(out, verdict, about)
    if pictures:
        _draw(out, method, index, scored, verdict)
    return verdict, about


def _draw(
    out: Path, method: Method, index: Index, scored: list[ScoredSection], verdict: Verdict
) -> None:
    # matplotlib and scikit-learn take seconds to load: only where they are needed.
    from edge_asd_train.evaluate import gallery  # noqa: PLC0415

    gallery.draw_scores(out, method.name, scored, verdict.sections)
    gallery.draw_severity(out, method.name, verdict.first_shot)
    if isinstance(method, NetworkMethod):
        gallery.draw_embeddings(out, method.name, method, index, scored)
        if method.run is not None:
            gallery.draw_training(out, method.run)


@contextmanager
def _bars() -> Iterator[ProgressFactory]:
    """Bars that go away when they are full."""
    with progress_bars() as bars:

        def bar(title: str, total: int) -> Callable[[], None]:
            task = bars.add_task(title, total=total, terms="")
            left = total

            def advance() -> None:
                nonlocal left
                left -= 1
                bars.update(task, advance=1, visible=left > 0)

            return advance

        yield bar


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{out}: cannot make the folder: {error.strerror}") from error
