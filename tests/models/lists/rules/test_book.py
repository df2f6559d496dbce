"""Rules are read strictly: every mistake at once, and each kind does what it says."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from lakehouse.errors import ConfigurationError
from lakehouse.lists import LISTS
from models.lists.rules.book import RuleBook
from models.lists.rules.night import NightRules, rule_warnings
from models.lists.rules.rule import Kinds
from models.lists.rules.shelf import Shelf

NIGHT = date(2024, 3, 1)  # A Friday.
ITEM_KINDS = {
    "item_id": "string",
    "category": "string",
    "unit_price": "double",
    "sellable": "boolean",
    "tags": "array<string>",
    "age_days": "int",
}
USER_KINDS = {"club": "string"}


def book(*rules: str) -> RuleBook:
    head = '[[rules]]\nowner = "us"\nreason = "so it is"\n'
    return RuleBook.parse("".join(f"{head}{rule}\n" for rule in rules))


def shelf() -> Shelf:
    items = pd.DataFrame(
        {
            "category": ["BEER", "BEER", "MILK", None],
            "brand": ["P", "N", "P", "P"],
            "unit_price": [2.0, 5.0, 1.0, np.nan],
            "sellable": [True, True, False, True],
            "tags": [["red", "new"], [], ["new"], None],
            "buyers_total": [7, 0, 1, 3],
            "price_band": [1, 5, np.nan, 3],
        }
    )
    users = pd.DataFrame({"club": ["gold", None], "price_band_mean": [2.5, np.nan]})
    age = np.array([0.0, 14.0, 28.0, np.nan])
    ids = np.array(["a", "b", "c", "d"], dtype=object)
    return Shelf.build(ids, age, items, users, sparse.csr_array((2, 4), dtype=np.int32))


def hidden(*rules: str) -> list[bool]:
    night = NightRules.of(book(*rules), "all", shelf())
    [(_, plan)] = night.groups(np.array([0], np.int32))
    return [bool(is_hidden) for is_hidden in plan.hidden]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('{ category = "BEER" }', "ab"),
        ('{ category = ["BEER", "MILK"] }', "abc"),
        ('{ category = "BEER", brand = "P" }', "a"),
        ("{ unit_price = { at_least = 2.0 } }", "ab"),
        ("{ unit_price = { at_least = 1.5, at_most = 2.0 } }", "a"),
        ("{ sellable = false }", "c"),
        ('{ tags = "new" }', "ac"),
        ('{ tags = ["red", "blue"] }', "a"),
        ('{ item_id = ["d", "z"] }', "d"),
        ("{ age_days = { at_most = 14.0 } }", "ab"),
        ('{ colour = "red" }', ""),
    ],
)
def test_conditions_match_what_is_known(condition: str, expected: str) -> None:
    blocked = hidden(f'kind = "block"\nid = "x"\nitems = {condition}')
    assert blocked == [name in expected for name in "abcd"]
    required = hidden(f'kind = "require"\nid = "x"\nitems = {condition}')
    assert required == [name not in expected for name in "abcd"]


def test_sensitive_items_wait_for_an_approval() -> None:
    rule = 'kind = "sensitive"\nid = "x"\nitems = { category = "BEER" }'
    assert hidden(rule) == [True, True, False, False]
    assert hidden(f'{rule}\napproved_by = "law"') == [True, True, False, False]
    approved = f'{rule}\napproved_by = "law"\napproved_on = 2024-02-01'
    assert hidden(approved) == [False] * 4


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('kind = "boost"\nplaces = 2.0\nitems = { brand = "P" }', [2, 0, 2, 2]),
        ('kind = "bury"\nplaces = 2.0\nitems = { brand = "P" }', [-2, 0, -2, -2]),
        ('kind = "freshness"\nplaces = 4.0\nhalf_life_days = 14.0', [4, 2, 1, 0]),
        ('kind = "damp_popular"\nplaces = 1.0', [-3, 0, -1, -2]),
    ],
)
def test_moves_are_in_places(rule: str, expected: list[float]) -> None:
    night = NightRules.of(book(f'id = "x"\n{rule}'), "all", shelf())
    [(_, plan)] = night.groups(np.array([0], np.int32))
    assert plan.moves is not None
    np.testing.assert_allclose(plan.moves, expected)


def test_other_people_of_a_shelf_are_looked_up_anew() -> None:
    rules = book("kind = 'block'\nid = 'a'\nitems = { brand = 'P' }\nusers = { club = 'gold' }")
    people = shelf()
    (condition,) = [rule.users for rule in rules.rules]
    assert people.people(condition).tolist() == [True, False]
    others = people.with_people(
        pd.DataFrame({"club": ["gold", "gold", None]}), sparse.csr_array((3, 4), dtype=np.int32)
    )
    assert others.people(condition).tolist() == [True, True, False]
    assert people.people(condition).tolist() == [True, False]
    # What is not said of the others is not met by them.
    nameless = people.with_people(pd.DataFrame(index=range(3)), others.days_since)
    assert nameless.people(condition).tolist() == [False, False, False]


def test_rules_about_some_people_make_groups() -> None:
    rules = book(
        'kind = "block"\nid = "a"\nitems = { item_id = "a" }\nusers = { club = "gold" }',
        'kind = "block"\nid = "b"\nitems = { item_id = "b" }',
    )
    night = NightRules.of(rules, "all", shelf())
    found = {
        tuple(rows.tolist()): plan.hidden.tolist()
        for rows, plan in night.groups(np.array([1, 0, -1], np.int32))
    }
    assert found == {(0, 2): [False, True, False, False], (1,): [True, True, False, False]}


def test_a_rule_holds_on_its_days_and_surfaces() -> None:
    rules = book(
        'kind = "block"\nid = "friday"\nitems = { brand = "P" }\nweekdays = ["fri"]',
        'kind = "block"\nid = "monday"\nitems = { brand = "P" }\nweekdays = ["mon"]',
        'kind = "block"\nid = "march"\nitems = { brand = "P" }\nvalid_from = 2024-03-01',
        'kind = "block"\nid = "old"\nitems = { brand = "P" }\nvalid_to = 2024-02-29',
        'kind = "block"\nid = "new"\nitems = { brand = "P" }\nsurfaces = ["discover"]',
    )
    active = rules.active(NIGHT)
    assert [rule.id for rule in active.rules] == ["friday", "march", "new"]
    assert [rule.id for rule in active.on("all")] == ["friday", "march"]
    assert rule_warnings(rules, NIGHT, None) == (
        "rule old expired on 2024-02-29: take it out of the file",
    )


def test_what_a_rule_cannot_do_tonight_is_said() -> None:
    rules = book(
        'kind = "block"\nid = "nothing"\nitems = { category = "CHEESE" }',
        'kind = "boost"\nid = "nobody"\nplaces = 1.0\nitems = { brand = "P" }\n'
        'users = { club = "iron" }',
        'kind = "block"\nid = "beer"\nitems = { category = "BEER" }',
        'kind = "pin"\nid = "gone"\nitem = "z"\nplace = 1',
        'kind = "pin"\nid = "hidden"\nitem = "a"\nplace = 2',
        'kind = "boost"\nid = "lacking"\nplaces = 1.0\nitems = { colour = "red" }',
        # Of what is of the brand P, a is hidden and c not sold.
        'kind = "quota"\nid = "two"\nitems = { brand = "P" }\nat_least = 2',
        'kind = "quota"\nid = "one"\nitems = { brand = "P" }\nat_least = 1',
    )
    assert rule_warnings(rules, NIGHT, shelf()) == (
        "rule nothing is about no item tonight",
        "rule nobody is about nobody tonight",
        "rule gone is about no item tonight",
        "rule hidden pins an item that rule beer hides",
        "rule lacking is about no item tonight",
        "rule two asks for 2 items, tonight there are 1 to show",
    )


def test_every_mistake_of_a_file_is_told_at_once() -> None:
    text = """
    [[rule]]
    [[rules]]
    kind = "blok"
    id = "typo"
    [[rules]]
    kind = "block"
    id = "no-items"
    owner = "us"
    reason = "so"
    [[rules]]
    kind = "boost"
    id = "bad field"
    owner = "us"
    reason = "so"
    items = { brand = "P" }
    place = 3.0
    [[rules]]
    kind = "quota"
    id = "too-many"
    owner = "us"
    reason = "so"
    items = { brand = "P" }
    at_least = 4
    of = 3
    [[rules]]
    kind = "pin"
    id = "one"
    owner = "us"
    reason = "so"
    item = "a"
    place = 1
    [[rules]]
    kind = "pin"
    id = "two"
    owner = "us"
    reason = "so"
    item = "b"
    place = 1
    [[rules]]
    kind = "pin"
    id = "two"
    owner = "us"
    reason = "so"
    item = "a"
    place = 7
    surfaces = ["al"]
    """
    with pytest.raises(ConfigurationError) as caught:
        RuleBook.parse(text)
    told = str(caught.value).splitlines()
    assert told[0] == "9 mistake(s):"
    assert [line.strip() for line in told[1:]] == [
        "there is no 'rule'; give [[rules]]",
        "typo: Input tag 'blok' found using 'kind' does not match any of the expected tags: "
        "'block', 'require', 'sensitive', 'repeat', 'boost', 'bury', 'freshness', "
        "'damp_popular', 'price_affinity', 'diversity', 'pin', 'quota', 'at_most'",
        "no-items: items: say which items it is about",
        "bad field: id: String should match pattern '^[a-z0-9][a-z0-9_-]{0,63}$'",
        "bad field: places: Field required",
        "bad field: place: Extra inputs are not permitted",
        "too-many: at_least 4 is more than of 3",
        f"two: surfaces: there is no al; there are {', '.join(LISTS)}",
        "two: one pins another item to place 1",
    ]


def test_attributes_that_there_are_not_and_wrong_kinds_of_values_are_told() -> None:
    rules = book(
        'kind = "block"\nid = "a"\nitems = { colour = "red" }',
        'kind = "block"\nid = "b"\nitems = { unit_price = "2" }',
        'kind = "block"\nid = "c"\nitems = { category = { at_most = 2.0 } }',
        'kind = "block"\nid = "d"\nitems = { sellable = "yes" }\nusers = { age = "30" }',
        'kind = "pin"\nid = "e"\nitem = "a"\nplace = 21',
    )
    with pytest.raises(ConfigurationError) as caught:
        rules.check(Kinds(ITEM_KINDS, USER_KINDS, {}), 20)
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == [
        "a: items have no attribute 'colour'; there are item_id, category, unit_price, sellable, "
        "tags, age_days",
        "b: unit_price is of the type double: give at_least and at_most",
        "c: category is of the type string: give values",
        "d: sellable is of the type boolean: give true or false",
        "d: users have no attribute 'age'; there are club",
        "e: place 21 is beyond a list of 20",
    ]


def test_more_pins_than_places_are_told_one_by_one() -> None:
    pins = (f'kind = "pin"\nid = "pin-{n}"\nitem = "i{n}"\nplace = {n}' for n in range(1, 31))
    with pytest.raises(ConfigurationError) as caught:
        book(*pins).check(Kinds({}, {}, {}), 20)
    head, *told = str(caught.value).splitlines()
    assert head == "10 mistake(s):"
    assert [line.strip() for line in told] == [
        f"pin-{n}: place {n} is beyond a list of 20" for n in range(21, 31)
    ]


@pytest.mark.parametrize("text", ["[[rules", "rules = 3", "[rules]"])
def test_what_is_no_list_of_rules_is_an_error(text: str) -> None:
    with pytest.raises(ConfigurationError):
        RuleBook.parse(text)


def test_the_digest_is_of_what_rules_say() -> None:
    one = book('kind = "block"\nid = "a"\nitems = { brand = "P" }')
    same = book('id = "a"\nkind = "block"\nitems = { brand = "P" }')
    other = book('kind = "block"\nid = "a"\nitems = { brand = "N" }')
    assert one.digest == same.digest != other.digest
