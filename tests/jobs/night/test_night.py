"""What a night's models learn from."""

from datetime import timedelta
from pathlib import Path

from jobs.night.inputs import newest_versions, read_gold, read_nights
from lakehouse.tables import ITEM_FEATURES
from tests.nights import NIGHT, Event, settings_in, write_lake


def test_excluded_departments_were_not_sellable_on_earlier_nights_either(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    features = settings.features.model_copy(update={"excluded_departments": ("FUEL",)})
    settings = settings.model_copy(update={"features": features})
    # Petrol was sold, but may not be listed; the stale cake was, and may no longer be.
    items = {
        "bread": {"department": "BAKERY", "sellable": True},
        "cake": {"department": "BAKERY", "sellable": False},
        "petrol": {"department": "FUEL", "sellable": False},
    }
    write_lake(settings, [Event("ann", item, days) for item in items for days in (1, 20)], items)
    today = read_nights(settings, newest_versions(settings.paths.lake), run_date=NIGHT).today
    assert today.interactions.item_ids.tolist() == ["bread", "cake", "petrol"]
    assert today.sellable.tolist() == [True, False, False]
    assert today.earlier(NIGHT - timedelta(days=7)).sellable.tolist() == [True, True, False]


def test_only_the_columns_asked_for_are_read(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    write_lake(settings, [Event("ann", "bread", 1)], {"bread": {"department": "BAKERY"}})
    lake = settings.paths.lake
    versions = newest_versions(lake)
    read = read_gold(lake, ITEM_FEATURES, versions, NIGHT, NIGHT, columns=("item_id", "department"))
    assert read.to_dict("list") == {"item_id": ["bread"], "department": ["BAKERY"]}
    every = read_gold(lake, ITEM_FEATURES, versions, NIGHT, NIGHT)
    assert list(every) == [n for n in ITEM_FEATURES.column_names if n not in ("run_date", "as_of")]
