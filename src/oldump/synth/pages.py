"""Documents that are not books: accounts, lists, subjects, pages of the site and obsolete pages."""

from functools import cache
from typing import NamedTuple
from zlib import crc32

from oldump.synth import kinds
from oldump.synth.dice import Dice, mixed
from oldump.synth.frames import Frame, Manner
from oldump.synth.words import copy_escaped, listed, words

_LANGUAGES = listed("""
    eng English|ger German|fre French|spa Spanish|rus Russian|ita Italian|chi Chinese|
    jpn Japanese|ara Arabic|por Portuguese|hin Hindi|lat Latin|dut Dutch|pol Polish|
    swe Swedish|grc Ancient Greek|dan Danish|cze Czech|und Undetermined|ben Bengali|
    san Sanskrit|tam Tamil|urd Urdu|per Persian|heb Hebrew|tur Turkish|kor Korean|
    vie Vietnamese|tha Thai|ukr Ukrainian|bul Bulgarian|rum Romanian|hun Hungarian|fin Finnish|
    nor Norwegian|ice Icelandic|cat Catalan|wel Welsh|gle Irish|baq Basque|est Estonian|
    lav Latvian|lit Lithuanian|arm Armenian|geo Georgian|mon Mongolian|tib Tibetan|swa Swahili|
    yor Yoruba|epo Esperanto|mul Multiple languages|ale Aleut|arw Arawak|bin Edo|
    ang English, Old
""")
_TYPES = listed("""
    type property edition work author user usergroup permission object string text int boolean
    datetime key link redirect delete language library subject list page template macro i18n
    home place collection about
""")
_LOCALES = listed("de fr es it pt ru ja zh hi te cs hr")
_GROUPS = listed("""
    admin everyone allusers api librarians curators read-only super-librarians beta-testers
    imagesearch readers usability developers sponsors
""")
_LIBRARIES = listed("""
    boston_public_library san_francisco_public_library allen_county internet_archive_books
    princeton
""")
_PARTS = listed("""
    site page list home edit history search header footer nav login profile work edition
    author review
""")
_ABOUT = listed("""
    about help faq contact developers dump librarian-guide lists-guide privacy terms volunteer
    widgets
""")


def account(dice: Dice, number: int, revision: int, frame: Frame) -> str:
    """Return one of the four pages of an account: user, group, permission, preferences."""
    holder, page = divmod(number - 1, kinds.PAGES_OF_ACCOUNT)
    people = f"{_manner(frame).people}{account_name(holder + 1)}"
    key, kind, members = (
        (people, "user", _user(dice, people, revision)),
        (f"{people}/usergroup", "usergroup", f'"members": [{{"key": "{people}"}}], '),
        (f"{people}/permission", "permission", _permission(people)),
        (f"{people}/preferences", "object", _preferences(revision)),
    )[page]
    return _document(key, kind, members, frame)


def account_name(number: int) -> str:
    """Return the name of an account, unique to its number."""
    slug = words().slugs[mixed(number) & 0xFFFF]
    return f"{slug[:8]}{number}" if number % 5 else f"{slug[:6].capitalize()}_{number}"


def reading_list(dice: Dice, number: int, revision: int, frame: Frame) -> str:
    """Return one revision of a reader's list: each adds a book or a subject, up to sixty."""
    name = account_name(kinds.account_of_list(number))
    seeds = ", ".join(_seed(number, place, frame) for place in range(min(revision, 60)))
    about = f'"description": "{words().sentences[dice[1]]}", ' if dice[2] & 3 == 0 else ""
    title = words().titles[(dice[3] + revision // 60) & 0xFFFF]
    members = f'"name": "{title}", {about}"seeds": [{seeds}], '
    return _document(f"{_manner(frame).people}{name}/lists/OL{number}L", "list", members, frame)


def subject(dice: Dice, number: int, revision: int, frame: Frame) -> str:
    """Return one revision of the page of a subject."""
    name = words().slugs[dice[0]]
    text = " ".join(words().sentences[(dice[1] + at) & 0xFFFF] for at in range(min(revision, 8)))
    members = f'"name": "{name.capitalize()}", "body": {{"type": "/type/text", "value": "{text}"}}, '
    place = ("", "place:", "person:", "time:")[dice[2] & 3]
    return _document(f"/subjects/{place}{name}_{number}", "subject", members, frame)


def site_page(dice: Dice, number: int, revision: int, frame: Frame) -> str:
    """Return one revision of a language, a type, a template or another page of the site."""
    pages = _site_pages()
    again, place = divmod(number - 1, len(pages))
    page = pages[place]
    key = page.key.replace("/languages/", _manner(frame).languages) if not again else f"{page.key}/{again}"
    members = page.members
    if not members:
        text = "\\\\n".join(
            f'<p class=\\\\"{words().slugs[die]}\\\\">{words().sentences[die]}</p>'
            for die in dice[: 2 + min(revision, 20)]
        )
        title = words().titles[dice[3]]
        members = f'"body": {{"type": "/type/text", "value": "{text}"}}, "title": "{title}", '
    return _document(key, page.kind, members, frame)


def admin_page(dice: Dice, number: int, revision: int, frame: Frame) -> str:
    """Return one revision of an administration page."""
    members = f'"body": "{words().sentences[(dice[0] + revision) & 0xFFFF]}", '
    return _document(f"/admin/report_{number}", "page", members, frame)


def obsolete_page(dice: Dice, number: int, revision: int, frame: Frame) -> str:
    """Return one revision of a page that the site no longer has."""
    if number & 1:
        status = "NOT_SCANNED" if revision & 1 else "SCAN_IN_PROGRESS"
        edition = f"{_manner(frame).books}OL{number}M"
        book = f'"edition": {{"key": "{edition}"}}, "scan_status": "{status}", '
        return _document(f"/scan_record/b/OL{number}M", "scan_record", book, frame)
    members = f'"body": "{words().sentences[(dice[0] + revision) & 0xFFFF]}", '
    return _document(f"/old/page_{number}", "page", members, frame)


def _manner(frame: Frame) -> Manner:
    return frame[4]


def _document(key: str, kind: str, members: str, frame: Frame) -> str:
    opening, created, modified, closing, _ = frame
    return f'{opening}{created}{members}{modified}"key": "{key}", "type": {{"key": "/type/{kind}"}}, {closing}'


def _user(dice: Dice, people: str, revision: int) -> str:
    about = f'"description": "{words().sentences[dice[4]]}", ' if revision > 1 else ""
    name = words().people[dice[1]]
    return f'"displayname": "{name}", {about}"permission": {{"key": "{people}/permission"}}, '


def _permission(people: str) -> str:
    return (
        '"readers": [{"key": "/usergroup/everyone"}], '
        f'"writers": [{{"key": "{people}/usergroup"}}], '
        f'"admins": [{{"key": "{people}/usergroup"}}], '
    )


def _preferences(revision: int) -> str:
    public = "no" if revision & 1 else "yes"
    return f'"notifications": {{"mode": "instant", "public_readlog": "{public}", "updates": "no"}}, '


def _seed(list_number: int, place: int, frame: Frame) -> str:
    chance = mixed(list_number * 64 + place)
    if chance % 7 == 0:
        return f'"subject:{words().slugs[chance & 0xFFFF]}"'
    number = 1 + chance % (list_number * 20)
    if chance % 3:
        return f'{{"key": "/works/OL{number}W"}}'
    return f'{{"key": "{_manner(frame).books}OL{number}M"}}'


class _Page(NamedTuple):
    """A page of the site; without members of its own, it has a title and a body."""

    key: str
    kind: str
    members: str = ""


@cache
def _site_pages() -> tuple[_Page, ...]:
    """Return all pages of the site, mixed, so that even a short table has some of each kind."""
    languages = (entry.split(" ", 1) for entry in _LANGUAGES)
    everyone = '"readers": [{"key": "/usergroup/everyone"}], "writers": [{"key": "/usergroup/admin"}], '
    properties = (
        '"kind": "regular", "properties": [{"expected_type": {"key": "/type/string"}, '
        '"unique": true, "type": {"key": "/type/property"}, "name": "title"}, '
        '{"expected_type": {"key": "/type/text"}, '
        '"unique": {"type": "/type/boolean", "value": false}, "type": {"key": "/type/property"}, '
        '"name": "body"}], "backreferences": [], '
    )
    pages = (
        *(_Page(f"/type/{name}", "type", f'"name": "{name.title()}", {properties}') for name in _TYPES),
        *(_Page(f"/languages/{code}", "language", f'"code": "{code}", "name": "{name}", ') for code, name in languages),
        _Page("/", "home"),
        *(_Page(f"/usergroup/{name}", "usergroup", '"members": [], "description": "", ') for name in _GROUPS),
        *(_Page(f"/permission/{name}", "permission", everyone) for name in _GROUPS[:10]),
        *(_Page(f"/i18n/{part}.{code}", "i18n", _translations(code)) for part in _PARTS[:3] for code in _LOCALES),
        *(_Page(f"/libraries/{name}", "library", f'"name": "{name}", "ip_ranges": "", ') for name in _LIBRARIES),
        *(_Page(f"/templates/{part}.tmpl", "template") for part in _PARTS),
        *(_Page(f"/macros/{part.title()}", "macro") for part in _PARTS),
        *(_Page(f"/{name}", "page") for name in _ABOUT),
    )
    return tuple(sorted(pages, key=lambda page: crc32(page.key.encode())))


def _translations(code: str) -> str:
    greeting = copy_escaped(f'"string_greeting": "\\u00ab{code}\\u00bb", "string_books": "%d \\"{code}\\"", ')
    return greeting + f'"string_locale": "{code}", '
