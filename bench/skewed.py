"""Generate dumps in which many documents link to one key, and dumps in which the links are spread evenly."""

from collections.abc import Callable, Iterator

_WORKS, _EDITIONS = 200_000, 50_000
_FILLING = "The history of everything, told at some length. " * 12


def _author(number: int) -> bytes:
    return _record("author", f"/authors/OL{number}A", f'"name": "Author {number}"')


def _work(number: int, author: int) -> bytes:
    role = f'{{"type": {{"key": "/type/author_role"}}, "author": {{"key": "/authors/OL{author}A"}}}}'
    return _record("work", f"/works/OL{number}W", f'"title": "Work {number}", "authors": [{role}]')


def _edition(number: int, work: int) -> bytes:
    members = f'"title": "Edition {number}", "works": [{{"key": "/works/OL{work}W"}}], "notes": "{_FILLING}"'
    return _record("edition", f"/books/OL{number}M", members)


def _record(kind: str, key: str, members: str) -> bytes:
    when = "2020-01-01T00:00:00"
    text = f'{{"key": "{key}", "type": {{"key": "/type/{kind}"}}, {members}, "revision": 1}}'
    return f"/type/{kind}\t{key}\t1\t{when}\t{text}\n".encode()


def _dump(authors: int, works_with_editions: int) -> Iterator[bytes]:
    yield from (_author(number + 1) for number in range(authors))
    yield from (_edition(number + 1, number % works_with_editions + 1) for number in range(_EDITIONS))
    yield from (_work(number + 1, number % authors + 1) for number in range(_WORKS))


KINDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "200,000 works of 50,000 authors": lambda: _dump(50_000, _EDITIONS),
    "200,000 works of one author": lambda: _dump(1, _EDITIONS),
    "50,000 editions of one work": lambda: _dump(50_000, 1),
}
"""Each kind of dump, with the function that generates its records."""
