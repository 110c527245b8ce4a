"""Authors, works and editions: write any revision of any of them, as JSON in COPY text.

A revision adds or corrects one or two members of the previous one and repeats the rest in the same order. A plan says
in which revision each member appears. A long history continues with more subjects and other covers.
"""

from oldump.synth.dice import Dice, mixed
from oldump.synth.frames import Frame, Manner, orders, plans
from oldump.synth.isbn import isbns
from oldump.synth.kinds import author_of_work, work_of_edition
from oldump.synth.words import listed, spread, words

_CATALOGUED = 39_300
"""An edition whose second die is below this is a library's."""

_AUTHOR_ORDERS = orders(12)
_WORK_ORDERS = orders(14)
_CATALOGUE_ORDERS = orders(25)
_SHOP_ORDERS = orders(24)
_AUTHOR_PLANS = plans((60, 25), (20, 30), (4, 10), (1, 30), (2, 10))
_WORK_PLANS = plans((55, 35), (15, 45), (8, 12), (70, 30), (10, 20), (1, 4))
_EDITION_PLANS = plans((20, 45), (7, 11), (75, 25), (35, 35), (50, 40), (70, 15))

_LANGUAGES = spread(listed("eng ger fre spa rus ita chi jpn ara por hin lat dut pol swe grc dan cze"), 2)
_FORMATS = spread(["Paperback", "Hardcover", "Unknown Binding", "Mass Market Paperback", "E-book"], 50)
_MONTHS = listed("""
    January February March April May June July August September October November December
""")


def author(dice: Dice, number: int, revision: int, frame: Frame) -> str:
    """Return one revision of an author."""
    opening, created, modified, closing, manner = frame
    plan, order, name, lifetime, bio, link, remote, more = dice[:8]
    personal_at, dates_at, links_at, remote_at, bio_at, grown_at = _AUTHOR_PLANS[plan & 255]
    vocabulary = words()
    called = vocabulary.people[name]
    parts = (
        opening,
        created,
        modified,
        f'"key": "{manner.authors}OL{number}A", "type": {{"key": "/type/author"}}, ',
        f'"name": "{called}", ',
        f'"personal_name": "{called}", ' if revision >= personal_at else "",
        vocabulary.lifetimes[lifetime] if revision >= dates_at else "",
        f'"bio": {vocabulary.texts[bio]}, ' if revision >= bio_at else "",
        vocabulary.links[link] if revision >= links_at else "",
        _remote_ids(remote, more) if revision >= remote_at else "",
        _other_names(name, revision - grown_at) if revision > grown_at else "",
        closing,
    )
    return "".join(_AUTHOR_ORDERS[order & 3](parts))


def work(dice: Dice, number: int, revision: int, frame: Frame) -> str:
    """Return one revision of a work."""
    opening, created, modified, closing, manner = frame
    plan, order, title, roles, wanted, subjects, about, cover, where, year = dice[:10]
    subjects_at, cover_at, about_at, title_at, places_at, links_at, grown_at = _WORK_PLANS[plan & 255]
    grown = revision - grown_at
    vocabulary = words()
    parts = (
        opening,
        created,
        modified,
        f'"key": "/works/OL{number}W", "type": {{"key": "/type/work"}}, ',
        f'"title": "{vocabulary.titles[title]}{"." if revision < title_at else ""}", ',
        f'"authors": {_roles(number, roles, manner)}, ' if roles > 1_600 else "",
        f'"subjects": [{vocabulary.subject_lists[subjects]}{_further(subjects, grown) if grown > 0 else ""}], '
        if revision >= subjects_at or grown > 0
        else "",
        f'"covers": [{_covers(cover, grown)}], ' if revision >= cover_at or grown > 1 else "",
        f'"description": {vocabulary.texts[about]}, ' if revision >= about_at else "",
        f'"subject_places": ["{vocabulary.regions[where]}"], ' if revision >= places_at else "",
        f'"first_publish_date": "{1850 + year % 160}", ' if wanted & 3 == 0 else "",
        vocabulary.classes[year] if wanted & 0xC == 0 else "",
        vocabulary.links[about] if revision >= links_at else "",
        closing,
    )
    return "".join(_WORK_ORDERS[order & 3](parts))


def edition(dice: Dice, number: int, revision: int, frame: Frame) -> str:
    """Return one revision of an edition: three in five as libraries catalogue them, the others as shops do."""
    parts = _edition_parts(dice, number, revision, frame)
    closing, order = frame[3], dice[1] & 3
    if dice[1] < _CATALOGUED:
        return "".join(_CATALOGUE_ORDERS[order](parts + _catalogue_parts(dice, revision, closing)))
    return "".join(_SHOP_ORDERS[order](parts + _shop_parts(dice, revision, closing)))


def _edition_parts(dice: Dice, number: int, revision: int, frame: Frame) -> tuple[str, ...]:
    opening, created, modified, _, manner = frame
    plan, _, title, link, target, scan, cover, pages, wanted, tongue, text, further = dice[:12]
    cover_at, scan_at, title_at, _, subjects_at, pages_at, grown_at = _EDITION_PLANS[plan & 255]
    grown = revision - grown_at
    vocabulary = words()
    parent = work_of_edition(number, target)
    subjects = vocabulary.heading_lists if dice[1] < _CATALOGUED else vocabulary.subject_lists
    return (
        opening,
        created,
        modified,
        f'"key": "{manner.books}OL{number}M", "type": {{"key": "/type/edition"}}, ',
        f'"title": "{vocabulary.titles[title]}{"." if revision < title_at else ""}", ',
        f'"subtitle": "{vocabulary.subtitles[text]}", ' if wanted & 3 == 0 else "",
        f'"works": [{{"key": "/works/OL{parent}W"}}], ' if _has_work(link, revision) else "",
        f'"authors": [{{"key": "{manner.authors}OL{author_of_work(parent)}A"}}], ' if wanted & 0x1C else "",
        f'"languages": [{{"key": "{manner.languages}{_LANGUAGES[tongue]}"}}], ' if wanted & 0xE0 else "",
        f'"number_of_pages": {16 + pages % 700}, ' if revision >= pages_at else "",
        f'"covers": [{_covers(cover, grown)}], ' if revision >= cover_at or grown > 1 else "",
        f'"ocaid": "{_ocaid(title, scan)}", ' if revision >= scan_at else "",
        f'"subjects": [{subjects[further]}{_further(further, grown) if grown > 0 else ""}], '
        if revision >= subjects_at or grown > 0
        else "",
        f'"description": {vocabulary.texts[text]}, ' if wanted & 0x700 == 0 else "",
        vocabulary.contents[text] if wanted & 0x3800 == 0 else "",
    )


def _catalogue_parts(dice: Dice, revision: int, closing: str) -> tuple[str, ...]:
    year, source, length, imprint, name, wanted, classes, number, note = dice[12:21]
    _, scan_at, _, numbers_at, _, _, _ = _EDITION_PLANS[dice[0] & 255]
    vocabulary = words()
    scan = f', "ia:{_ocaid(dice[2], dice[5])}"' if revision >= scan_at else ""
    return (
        vocabulary.imprints[imprint],
        f'"source_records": ["{vocabulary.sources[source]}{note * 977}:{length}"{scan}], ' if wanted & 7 else "",
        f'"publish_date": "{1850 + year % 158}", ',
        f'"pagination": "{"xii, " if length & 1 else ""}{16 + dice[7] % 700} p. ;", ' if wanted & 0x18 else "",
        f'"by_statement": "{"by " if name & 1 else "edited by "}{vocabulary.people[name]}.", ' if wanted & 0x60 else "",
        f'"lccn": ["{10 + year % 90}{200_000 + number}"], ' if wanted & 0x80 else "",
        f'"oclc_numbers": ["{number * 1_021 + year}"], ' if revision >= numbers_at else "",
        vocabulary.classes[classes] if wanted & 0x300 else "",
        f'"notes": {vocabulary.texts[note]}, ' if wanted & 0xC00 == 0 else "",
        closing,
    )


def _shop_parts(dice: Dice, revision: int, closing: str) -> tuple[str, ...]:
    year, one, two, three, form, house, wanted, elsewhere, source = dice[12:21]
    _, _, _, numbers_at, _, _, _ = _EDITION_PLANS[dice[0] & 255]
    ten, thirteen = isbns(one % 1000, two % 1000, three % 1000)
    vocabulary = words()
    return (
        vocabulary.publishers[house],
        f'"isbn_10": ["{ten}"], ' if wanted & 7 else "",
        f'"isbn_13": ["{thirteen}"], ' if wanted & 0x18 else "",
        f'"source_records": ["amazon:{ten}:bp:{source * 1_021}:{year}"], '
        if source & 1
        else f'"source_records": ["bwb:{thirteen}"], ',
        f'"publish_date": "{_MONTHS[year % 12]} {1 + year % 28}, {1970 + year % 52}", ',
        f'"physical_format": "{_FORMATS[form]}", ' if wanted & 0x60 else "",
        vocabulary.measures[form] if wanted & 0x180 else "",
        f'"identifiers": {{"goodreads": ["{elsewhere * 97}"], "librarything": ["{form * 53}"]}}, '
        if revision >= numbers_at
        else '"identifiers": {}, "classifications": {}, ',
        closing,
    )


def _has_work(link: int, revision: int) -> bool:
    """Whether the edition has a work: one in twenty never does, one in eight only from its second revision."""
    return link > 11_000 or (link > 2_600 and revision > 1)


def _roles(work_number: int, die: int, manner: Manner) -> str:
    """Return the authors of a work, sometimes in one of the malformed variants of the real database."""
    key = f"{manner.authors}OL{author_of_work(work_number)}A"
    role = f'{{"type": {{"key": "/type/author_role"}}, "author": {{"key": "{key}"}}}}'
    if die > 10_000:
        return f"[{role}]"
    if die > 5_000:
        second = f"{manner.authors}OL{author_of_work(work_number, 1)}A"
        return f'[{role}, {{"type": {{"key": "/type/author_role"}}, "author": {{"key": "{second}"}}}}]'
    if die > 3_000:
        return f'[{{"type": "/type/author_role", "author": {{"key": "{key}"}}}}]'
    if die > 2_400:
        return '[{"type": {"key": "/type/author_role"}}]'
    if die > 1_800:
        return f'[{{"type": {{"key": "/type/author_role"}}, "author": "{key}"}}]'
    return "[{}]"


def _remote_ids(one: int, two: int) -> str:
    viaf = f', "viaf": "{two * 1_021}"' if two & 1 else ""
    return f'"remote_ids": {{"wikidata": "Q{one * 211 + two}"{viaf}}}, '


def _other_names(name: int, grown: int) -> str:
    """Return other names: one more for each revision after the plan, at most the last thirty."""
    people = words().people
    names = [f'"{people[name + at & 0xFFFF]}"' for at in range(max(1, grown - 29), grown + 1)]
    return f'"alternate_names": [{", ".join(names)}], '


def _covers(die: int, grown: int) -> str:
    """Return cover numbers: one, and a newer one first with every second revision after the plan."""
    cover = die * 173 + 7
    if grown < 2:
        return str(cover)
    return f"{cover + 1 + mixed(die + grown // 2) % 1_000_000}, {cover}"


def _further(die: int, grown: int) -> str:
    """Return more subjects: one with every second revision after the plan, at most the last forty."""
    subjects = words().subjects
    count = (grown + 1) // 2
    return "".join([f', "{subjects[mixed(die + at) & 0xFFFF]}"' for at in range(max(0, count - 40), count)])


def _ocaid(head: int, scan: int) -> str:
    """Return an identifier as archive.org derives it from title, volume and author."""
    slugs = words().slugs
    return f"{slugs[head]}{scan % 4:02}{slugs[scan * 5 & 0xFFFF][:4]}"
