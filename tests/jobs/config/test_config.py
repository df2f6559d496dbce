"""What a configuration says, and how its mistakes are told."""

import pickle
import traceback
from pathlib import Path
from typing import Any, get_args

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError

from jobs.config.environment import OTHER_NAMES, sections_of
from jobs.config.methods import all_methods, knowing_methods
from jobs.config.moved import MOVED
from jobs.config.settings import EventType, Settings, load
from lakehouse.errors import ConfigurationError
from lakehouse.ingest.sources import SourceMapping
from lakehouse.tables import EVENT_TYPES
from tests.landed import EVENTS

COMPLETE = knowing_methods(Settings)
GOOD = """
[shop]
name = "corner"
[[sources]]
name = "orders"
target = "events"
path = "x.csv"
format = "csv"
columns = { user_id = "u", item_id = "i", event_time = "t" }
constants = { event_type = "purchase" }
"""


def settings_for(**sections: Any) -> Settings:
    return Settings(**{"shop": {"name": "corner"}, "sources": [EVENTS]} | sections)


def test_all_state_is_named_after_the_shop() -> None:
    settings = settings_for()
    assert settings.paths.model_dump() == {
        "lake": Path(".topshelf/corner/lake"),
        "landing": Path(".topshelf/corner/landing"),
        "runs": Path(".topshelf/corner/runs"),
        "data_quality": Path(".topshelf/corner/data_quality"),
    }
    assert settings.serving.store == "lmdb:.topshelf/corner/store"
    assert settings.mlflow.model_dump() == {
        "tracking_uri": "sqlite:///.topshelf/mlflow/mlflow.db",
        "artifacts": Path(".topshelf/corner/mlflow/artifacts"),
        "experiment": "corner_nightly",
        "model": "corner",
    }


def test_what_is_given_stands_whatever_the_shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOPSHELF__PATHS__RUNS", "/runs")
    settings = load(written(tmp_path, GOOD + '[paths]\nlake = "/lake"\n[mlflow]\nmodel = "best"'))
    assert (settings.paths.lake, settings.paths.runs) == (Path("/lake"), Path("/runs"))
    assert settings.paths.landing == Path(".topshelf/corner/landing")
    assert (settings.mlflow.model, settings.mlflow.experiment) == ("best", "corner_nightly")


def test_two_shops_have_nothing_in_common_but_mlflow_s_database(tmp_path: Path) -> None:
    corner, bakery = (
        load(written(tmp_path, GOOD.replace("corner", shop))).model_dump()
        for shop in ("corner", "bakery")
    )
    same = [
        (section, field)
        for section in ("paths", "serving", "mlflow")
        for field, value in corner[section].items()
        if value == bakery[section][field]
    ]
    assert same == [
        ("serving", "keep_releases"),
        ("serving", "share"),
        ("serving", "guardrails"),
        ("serving", "deadline_milliseconds"),
        ("serving", "requests_per_second"),
        ("mlflow", "tracking_uri"),
    ]


def test_the_api_s_own_files_need_no_source_and_no_source_takes_their_name(tmp_path: Path) -> None:
    settings = load(written(tmp_path, GOOD))
    names = [source.name for source in settings.sources]
    assert [source.name for source in settings.landing_sources] == [*names, "api_feedback"]
    taken = GOOD.replace(f'name = "{names[0]}"', 'name = "api_feedback"')
    with pytest.raises(ConfigurationError, match="api_feedback is that of the API's own files"):
        load(written(tmp_path, taken))


def test_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD, encoding="utf-8-sig")
    assert load(path).shop.name == "corner"


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("[train]\ntest_days = true", ["train.test_days: must be a whole number (value: True)"]),
        ("[train]\ntest_days = '7'", ["train.test_days: must be a whole number (value: '7')"]),
        ("[train]\ntest_days = 7.0", ["train.test_days: must be a whole number (value: 7.0)"]),
        ("[train]\ntest_days = 999999", ["train.test_days: must be at most 3650 (value: 999999)"]),
        ("[train]\nwarm_start = 1", ["train.warm_start: must be `true` or `false` (value: 1)"]),
        (
            "[train]\npopularity_half_life_days = inf\ncounts_half_life_days = nan",
            [
                "train.popularity_half_life_days: must be a finite number (value: inf)",
                "train.counts_half_life_days: must be a finite number (value: nan)",
            ],
        ),
        ("[gate]\ntolerance = false", ["gate.tolerance: must be a number (value: False)"]),
        ("[gate]\ntolerance = 1", ["gate.tolerance: must be less than 1.0 (value: 1)"]),
        (
            "[train]\nmethods = 'popularity'",
            ["train.methods: must be a list in brackets (value: 'popularity')"],
        ),
        (
            "[train]\nmethods = ['populariti', 'ease', 'ease']",
            [
                "train.methods#1: is not known; did you mean `popularity` or "
                "`category_popularity`? (value: 'populariti')"
            ],
        ),
        ("[train]\nmethods = ['ease', 'ease']", ["train.methods: must name each method once"]),
        ("[train]\nmethods = []", ["train.methods: must have at least 1 value(s)"]),
        (
            "[features]\nevent_types = ['buy']",
            [
                "features.event_types#1: is not known; known are `purchase`, `rating`, `view`, "
                "`click` or `cart` (value: 'buy')"
            ],
        ),
        (
            "[models.two_stag]\nrounds = 5\n[models.ease]\ncatalog = 5\nregularisation = 0",
            [
                "models.ease.regularisation: must be greater than 0.0 (value: 0)",
                "models.ease.catalog: no such setting; did you mean `catalogue`?",
                "models.two_stag: no such setting; did you mean `two_stage`?",
            ],
        ),
        (
            "[models.lightfm]\nloss = 'warp-kos'\n[models.item_knn]\nweighting = 'bm'",
            [
                "models.item_knn.weighting: is not known; did you mean `bm25`? (value: 'bm')",
                "models.lightfm: LightFM's loss 'warp-kos' ignores sample weights: set "
                "weight_half_life_days to 0, or choose the loss 'warp'",
            ],
        ),
        ("[models]\nease = 5", ["models.ease: must be a table (value: 5)"]),
        (
            "[train]\nranker_leaves = 7\ncomponents = 8",
            [
                "train.ranker_leaves: is [models.two_stage] leaves now",
                "train.components: is [models.hybrid_lightfm] components or [models.lightfm] "
                "components now",
            ],
        ),
        ("[train]\nsed = 7", ["train.sed: no such setting; did you mean `seed`?"]),
        (
            "[serving]\nx = 1",
            [
                "serving.x: no such setting; known are `store`, `keep_releases`, `share`, "
                "`guardrails`, `api_keys`, `deadline_milliseconds` or `requests_per_second`"
            ],
        ),
        ("[trian]\nseed = 7", ["trian: no such setting; did you mean `train`?"]),
        ("[train]\nseed = -1\nhats = 2\n[quality]\nvolume_max_ratio = 1", None),
    ],
)
def test_each_mistake_is_told_once_with_what_would_be_right(
    tmp_path: Path, text: str, mistakes: list[str] | None
) -> None:
    told = mistakes_of(written(tmp_path, f"{GOOD}{text}\n"))
    if mistakes is not None:
        assert told == mistakes
    else:
        assert [line.partition(":")[0] for line in told] == [
            "quality.volume_max_ratio",
            "train.seed",
            "train.hats",
        ]


@pytest.mark.parametrize(
    ("right", "wrong", "mistakes"),
    [
        (
            "columns =",
            "colums =",
            ["sources.orders.colums: no such setting; did you mean `columns` or `other_columns`?"],
        ),
        ("[shop]", "[shopp]", ["shopp: no such setting; did you mean `shop`?"]),
        (
            "user_id =",
            "userid =",
            [
                "sources.orders: columns names `userid`, which events do not have; "
                "did you mean `user_id`?"
            ],
        ),
        (
            '"corner"',
            '"Corner Shop"',
            ["shop.name: must match ^[a-z][a-z0-9_]*$ (value: 'Corner Shop')"],
        ),
        (
            'target = "events"',
            "",
            ["sources.orders.target: is missing: What a row of the file is."],
        ),
        (
            'format = "csv"',
            'format = "cvs"\nreject = [{ nam = "x", column = "user_id", pattern = "(" }]',
            [
                "sources.orders.format: is not known; did you mean `csv`? (value: 'cvs')",
                "sources.orders.reject#1.pattern: not a regular expression: missing ), "
                "unterminated subpattern at position 0 (value: '(')",
                "sources.orders.reject#1.nam: no such setting; did you mean `name`?",
            ],
        ),
        (
            'format = "csv"',
            'format = "csv"\nattributes = ["age"]\nflags = ["x"]',
            [
                "sources.orders: attributes belong to a source of users",
                "sources.orders: flags belong to a source of items",
            ],
        ),
    ],
)
def test_a_mistyped_name_is_not_told_as_missing_too(
    tmp_path: Path, right: str, wrong: str, mistakes: list[str]
) -> None:
    assert mistakes_of(written(tmp_path, GOOD.replace(right, wrong, 1))) == mistakes


@pytest.mark.parametrize(
    ("variable", "text", "mistake"),
    [
        (
            "TOPSHELF__SERVING__STOREE",
            "redis://:s3cret@h/0",
            "TOPSHELF__SERVING__STOREE: no such setting; did you mean TOPSHELF__SERVING__STORE?",
        ),
        (
            "TOPSHELF__SERVINGX__STORE",
            "redis://:s3cret@h/0",
            "TOPSHELF__SERVINGX__STORE: no such setting; did you mean TOPSHELF__SERVING__STORE?",
        ),
        (
            "TOPSHELF_SERVING_STORE",
            "redis://:s3cret@h/0",
            "TOPSHELF_SERVING_STORE: no such setting; did you mean TOPSHELF__SERVING__STORE?",
        ),
        (
            "topshelf__train__seed",
            "s3cret",
            "topshelf__train__seed: no such setting; did you mean TOPSHELF__TRAIN__SEED?",
        ),
        (
            "TOPSHELF_CONFG",
            "s3cret",
            "TOPSHELF_CONFG: no such setting; did you mean TOPSHELF_CONFIG?",
        ),
        (
            "TOPSHELFXYZ12345678",
            "s3cret",
            "TOPSHELFXYZ12345678: no such setting; docs/configuration.md lists all names",
        ),
        (
            "TOPSHELF__SERVING__STORE",
            "redis://:s3cret@h/0?foo=1",
            "TOPSHELF__SERVING__STORE: has options after `?` or `#`",
        ),
        ("TOPSHELF__TRAIN__SEED", "s3cret", "TOPSHELF__TRAIN__SEED: must be a whole number"),
        ("TOPSHELF__TRAIN__SEED", "-731", "TOPSHELF__TRAIN__SEED: must be at least 0"),
        ("TOPSHELF__GATE__TOLERANCE", "nan", "TOPSHELF__GATE__TOLERANCE: must be a finite number"),
        ("TOPSHELF__TRAIN__WARM_START", "s3cret", "TOPSHELF__TRAIN__WARM_START: must be `true`"),
        (
            "TOPSHELF__TRAIN__METHODS",
            "s3cret,ease",
            "TOPSHELF__TRAIN__METHODS: is not known; known are `buy_again`, `category_pop",
        ),
        (
            "TOPSHELF__MODELS__EASE__CATALOGUE",
            "s3cret",
            "TOPSHELF__MODELS__EASE__CATALOGUE: must be a whole number",
        ),
        (
            "TOPSHELF__MODELS__EASE__CATALOG",
            "s3cret",
            "TOPSHELF__MODELS__EASE__CATALOG: no such setting; did you mean "
            "TOPSHELF__MODELS__EASE__CATALOGUE?",
        ),
        (
            "TOPSHELF__TRAIN__RANKER_ROUNDS",
            "s3cret",
            "TOPSHELF__TRAIN__RANKER_ROUNDS: is TOPSHELF__MODELS__TWO_STAGE__ROUNDS now",
        ),
        ("TOPSHELF__TRAIN__METHODS", "[s3cret", "TOPSHELF__TRAIN__METHODS: must be a list"),
    ],
)
def test_a_value_of_the_environment_is_never_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, mistake: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path, GOOD))
    head, line = str(caught.value).splitlines()
    assert head.endswith("config.toml has 1 mistake(s):")
    assert line.strip().startswith(mistake)
    assert text not in "".join(traceback.format_exception(caught.value))


def test_mistakes_of_file_and_environment_are_told_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOPSHELF__TRAIN__SEED", "x")
    monkeypatch.setenv("TOPSHELF__TRAIN__SEDE", "1")
    assert mistakes_of(written(tmp_path, GOOD + "[train]\nthreads = 0\nseed = -1")) == [
        "TOPSHELF__TRAIN__SEED: must be a whole number",
        "train.threads: must be at least 1 (value: 0)",
        "TOPSHELF__TRAIN__SEDE: no such setting; did you mean TOPSHELF__TRAIN__SEED?",
    ]


@pytest.mark.parametrize(
    ("variable", "text", "section", "field", "value"),
    [
        (
            "TOPSHELF__TRAIN__METHODS",
            "popularity, ease",
            "train",
            "methods",
            ("popularity", "ease"),
        ),
        ("TOPSHELF__TRAIN__METHODS", "popularity", "train", "methods", ("popularity",)),
        ("TOPSHELF__TRAIN__METHODS", "['ease']", "train", "methods", ("ease",)),
        (
            "TOPSHELF__FEATURES__EXCLUDED_DEPARTMENTS",
            '["A, B", "C"]',
            "features",
            "excluded_departments",
            ("A, B", "C"),
        ),
        ("TOPSHELF__RECOMMEND__CONTEXTS", "", "recommend", "contexts", ()),
        ("TOPSHELF__TRAIN__SEED", " 7 ", "train", "seed", 7),
        ("TOPSHELF__GATE__TOLERANCE", "1e-3", "gate", "tolerance", 0.001),
        ("TOPSHELF__TRAIN__WARM_START", "true", "train", "warm_start", True),
        ("TOPSHELF__PATHS__LAKE", "/x", "paths", "lake", Path("/x")),
        ("TOPSHELF__SHOP__NAME", "bakery", "shop", "name", "bakery"),
    ],
)
def test_a_variable_goes_before_the_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    variable: str,
    text: str,
    section: str,
    field: str,
    value: object,
) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(getattr(load(written(tmp_path, GOOD)), section), field) == value


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_names_that_set_no_field_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    assert load(written(tmp_path, GOOD)).shop.name == "corner"


@pytest.mark.parametrize(
    "text",
    [
        '[serving]\nstore = "redis://:s3cret@h/0?foo=1"',
        '[serving]\nstore = "s3cret"',
        '[serving]\nstoree = "redis://:s3cret@h/0"',
        '[train]\nseed = "redis://me:s3c@ret/s3cret@h/0"',
        '[serving]\nstore = 5\n[mlflow]\ntracking_uri = ["http://me:s3cret@h"]',
    ],
)
def test_a_password_in_the_file_is_not_printed(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path, f"{GOOD}{text}\n"))
    shown = "".join(traceback.format_exception(caught.value))
    assert "s3c" not in shown


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("tracking_uri", "", "give sqlite:///PATH"),
        ("tracking_uri", "mlflow.db", "give sqlite:///PATH"),
        ("tracking_uri", "sqlite://mlflow.db", "give sqlite:///PATH"),
        ("tracking_uri", "sqlite:///", "give sqlite:///PATH"),
        ("tracking_uri", "sqlite:///:memory:", "give sqlite:///PATH"),
        ("tracking_uri", "file:///var/mlflow", "give sqlite:///PATH"),
        ("tracking_uri", "redis://:s3cret@h/0", "give sqlite:///PATH"),
        ("tracking_uri", "http://", "give sqlite:///PATH"),
        ("tracking_uri", "http://host:port", "give sqlite:///PATH"),
        ("experiment", "", "any of . _ - /,"),
        ("experiment", " night", "no space first or last"),
        ("experiment", "n" * 201, "at most 200"),
        ("model", " ", "any of . _ -,"),
        ("model", "shop/best", "any of . _ -,"),
        ("model", "a:b", "any of . _ -,"),
        ("model", "it's", "any of . _ -,"),
        ("model", "..", "any of . _ -,"),
        ("model", "best@night", "any of . _ -,"),
    ],
)
def test_what_mlflow_would_refuse_is_a_mistake_of_the_configuration(
    tmp_path: Path, field: str, value: str, rule: str
) -> None:
    (mistake,) = mistakes_of(written(tmp_path, f'{GOOD}[mlflow]\n{field} = "{value}"\n'))
    assert f"mlflow.{field}" in mistake
    assert rule in mistake
    assert "s3cret" not in mistake


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tracking_uri", "sqlite:////var/my shop/mlflow.db?timeout=5"),
        ("tracking_uri", "sqlite:///file:/var/mlflow.db?mode=ro&uri=true"),
        ("tracking_uri", "https://me:s3cret@mlflow.shop.example:5000/base"),
        ("tracking_uri", "http://[::1]:5000"),
        ("tracking_uri", "postgresql+psycopg2://me:s3cret@h/mlflow"),
        ("experiment", "/Shared/Größe 2"),
        ("model", "Größe-2.b"),
    ],
)
def test_what_mlflow_takes_is_taken(field: str, value: str) -> None:
    assert getattr(settings_for(mlflow={field: value}).mlflow, field) == value


def test_settings_do_not_show_addresses_with_passwords() -> None:
    settings = settings_for(
        serving={"store": "redis://:s3cret@h/0"}, mlflow={"tracking_uri": "http://me:s3cret@h"}
    )
    assert "s3cret" not in f"{settings!r} {settings}"
    with pytest.raises(ValidationError) as caught:
        settings_for(serving={"store": "s3cret"})
    assert "s3cret" not in str(caught.value)


def models_of(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The model and all that it is made of."""
    inner = [
        part
        for field in model.model_fields.values()
        for part in (field.annotation, *get_args(field.annotation))
        if isinstance(part, type) and issubclass(part, BaseModel)
    ]
    return [model, *(found for part in inner for found in models_of(part))]


def test_every_number_has_bounds_and_is_no_text_or_switch() -> None:
    for model in models_of(COMPLETE):
        for name, field in model.model_fields.items():
            if field.annotation in (int, float):
                kinds = {type(bound) for bound in field.metadata}
                assert kinds & {Ge, Gt}, (model, name)
                assert kinds & {Le, Lt}, (model, name)
            if field.annotation in (int, float, bool):
                for wrong in ("1", 1 if field.annotation is bool else True):
                    with pytest.raises(ValidationError) as caught:
                        model.model_validate({name: wrong})
                    told = {error["loc"]: error["type"] for error in caught.value.errors()}
                    assert told[name,] == f"{field.annotation.__name__}_type"


def test_every_field_says_what_it_means() -> None:
    for model in models_of(COMPLETE):
        for name, field in model.model_fields.items():
            if name not in (*Settings.model_fields, *all_methods()):
                assert field.description, (model, name)
                assert field.description.endswith("."), (model, name)


def test_what_moved_is_told_where_it_is() -> None:
    for old, new in MOVED.items():
        *tables, name = old
        assert name not in sections_of(Settings)[tables[0]].model_fields, old
        for table, *method, field in new:
            section = (
                all_methods()[method[0]].Configuration if method else sections_of(Settings)[table]
            )
            assert field in section.model_fields, field


def test_who_answers_people_takes_models_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOPSHELF__MODELS__EASE__CATALOG", "5")
    text = "[train]\nmethods = ['nearest']\n[models.ease]\ncatalog = 5\n[gate]\nchurn = 2"
    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path, GOOD + text), with_models=False)
    assert str(caught.value).splitlines()[1:] == ["  gate.churn: must be at most 1.0 (value: 2)"]


def test_the_digest_is_of_what_is_said_about_methods(tmp_path: Path) -> None:
    said = "[models.ease]\ncatalogue = 2999\n"
    plain, one = (load(written(tmp_path, text)) for text in (GOOD, GOOD + said))
    unseen = load(written(tmp_path, GOOD + said), with_models=False)
    assert plain.model_dump()["models"] == {}
    assert one.model_dump()["models"] == {"ease": {"catalogue": 2999}}
    assert one.digest() == unseen.digest() != plain.digest()


@pytest.mark.parametrize("with_models", [False, True])
def test_settings_can_be_handed_to_another_process(tmp_path: Path, with_models: bool) -> None:
    text = f"{GOOD}[models.ease]\ncatalogue = 2999\n[train]\nseed = 7\n"
    settings = load(written(tmp_path, text), with_models=with_models)
    copy = pickle.loads(pickle.dumps(settings))  # noqa: S301 (our own bytes)
    assert copy == settings
    assert type(copy) is type(settings)


def test_event_types_are_those_of_the_table() -> None:
    assert get_args(EventType) == EVENT_TYPES


def test_variables_may_set_every_section_but_the_sources() -> None:
    assert [*sections_of(Settings)] == [name for name in Settings.model_fields if name != "sources"]
    assert SourceMapping in models_of(Settings)


def test_contexts_are_of_events_of_their_time_or_of_users(tmp_path: Path) -> None:
    path = written(
        tmp_path, f'{GOOD}[recommend]\ncontexts = ["store_id", "weekdays", "hour_slot", "mood"]\n'
    )
    assert mistakes_of(path) == [
        "file: recommend.contexts names 'weekdays', which is neither of events nor an attribute of "
        "users; did you mean `weekday`?",
        "file: recommend.contexts names 'mood', which is neither of events nor an attribute of "
        "users; known are `store_id`, `device`, `weekday` or `hour_slot`",
    ]


def mistakes_of(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    head, *lines = str(caught.value).splitlines()
    assert head == f"{path} has {len(lines)} mistake(s):"
    return [line.strip() for line in lines]


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path
