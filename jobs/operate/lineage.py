"""Where a release comes from: settings, model, table versions, and the files taken in by then."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date

from rich.console import RenderableType
from rich.filesize import decimal
from rich.tree import Tree

from jobs.config.rules import active_rules
from jobs.config.settings import Settings
from jobs.night.outcomes import codes_of
from jobs.night.release import lists_digest
from jobs.operate.model_versions import listed
from lakehouse.code import code_version
from lakehouse.errors import DataError
from lakehouse.ingest.files import LOADED, RegisteredFile, read_register
from models.tracking.versions import ModelVersion
from serving.format.releases import Manifest
from serving.stores.opening import open_store


def lineage(settings: Settings, release: str) -> RenderableType:
    """What the release was made from, as a tree.

    Raises ``DataError`` where the store has no such release or the lake's register of files cannot
    be read. What is no longer there, or not known any more, is said.
    """
    with open_store(settings.serving.store, settings.shop.name) as store:
        manifests = store.manifests()
        if release not in manifests:
            raise DataError(
                f"{store.name} has no release {release!r}. `topshelf releases` lists those it has."
            )
    manifest = manifests[release]
    tree = Tree(f"release {release}, the night of {manifest.run_date}")
    lists = ", ".join(f"{name} {count:,}" for name, count in sorted(manifest.lists.items()))
    tree.add(f"lists: {lists}")
    _add_settings(tree, settings, manifest)
    _add_code(tree, codes_of(settings.paths.lake, manifest.run_date))
    _add_model(tree, settings, manifest)
    _add_tables(tree.add("tables that lists were made from"), manifest.table_versions)
    _add_files(tree, read_register(settings.paths.lake), manifest.run_date)
    return tree


def _add_settings(tree: Tree, settings: Settings, manifest: Manifest) -> None:
    rules = active_rules(settings, manifest.run_date)
    branch = tree.add(f"settings and rules {manifest.configuration[:12]}, seed {manifest.seed}")
    if lists_digest(settings, rules) != manifest.configuration:
        branch.add("those of the present are others")
        return
    branch.add("those of the present are the same")
    for rule in rules.rules:
        branch.add(f"rule {rule.id} ({rule.owner}): {rule.reason}")


def _add_code(tree: Tree, codes: Mapping[str, str]) -> None:
    """The code of each step of the night: after an update between two steps there are several."""
    steps_of: dict[str, list[str]] = defaultdict(list)
    for step, code in codes.items():
        steps_of[code].append(step)
    present = code_version()
    for code, steps in sorted(steps_of.items()):
        same = ", that of the present" if code == present else ""
        tree.add(f"code {code}{same}: {', '.join(sorted(steps))}")


def _add_model(tree: Tree, settings: Settings, manifest: Manifest) -> None:
    found: Mapping[str, ModelVersion] = {
        one.version.label: one.version for one in listed(settings).versions
    }
    version = found.get(manifest.model_version)
    if version is None:
        tree.add(f"model {manifest.model_version}, which MLflow does not have any more")
        return
    made = version.provenance
    branch = tree.add(f"model {version.label}, trained for the night of {version.night}")
    branch.add(f"MLflow run {version.run_id}")
    branch.add(f"settings {made.configuration[:12]}, seed {made.seed}")
    verdict = version.decision or version.verdict
    branch.add(f"gate: {verdict or 'not judged'}")
    _add_tables(branch.add("tables that it learnt from"), made.table_versions)


def _add_tables(branch: Tree, versions: Mapping[str, int]) -> None:
    for name, version in sorted(versions.items()):
        branch.add(f"{name} version {version}")


def _add_files(tree: Tree, register: Sequence[RegisteredFile], run_date: date) -> None:
    of_source: dict[str, list[RegisteredFile]] = defaultdict(list)
    for row in register:
        if row.status == LOADED and row.ingest_date <= run_date:
            of_source[row.source].append(row)
    branch = tree.add("files taken in by then (bronze.files has each)")
    for source, rows in sorted(of_source.items()):
        size = decimal(sum(row.bytes for row in rows))
        newest = max(rows, key=lambda row: (row.ingest_date, row.source_file))
        count = "1 file" if len(rows) == 1 else f"{len(rows):,} files"
        branch.add(
            f"{source}: {count}, {size}; the newest {newest.source_file}, SHA-256 "
            f"{newest.file_digest[:12]}"
        )
