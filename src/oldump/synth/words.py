"""The vocabulary: prepared tables of names, titles, publishers, subjects and sentences.

A table has one entry for each value of a die (0 to 65,535), already escaped for JSON inside COPY text. Frequent entries
occur many times in a table, rare ones once, roughly by Zipf's law. The vocabulary is the same for every seed.
"""

# ruff: noqa: RUF001 - letters of other scripts are intended

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

SIDES = 65_536
"""The number of values of a die, and of entries in a table."""

Table = Sequence[str]


def listed(text: str) -> list[str]:
    """Return the entries of `text`, which are separated by bars if it has any, else by spaces."""
    if "|" in text:
        return "".join(line.strip() for line in text.splitlines()).split("|")
    return text.split()


_ENGLISH = listed("""
    history life art science music poetry garden river mountain house family war peace society
    nation language law church school village city winter summer island ocean journey letter
    dream shadow light stone bridge market kitchen theatre film money labour power freedom
    justice memory silence fire water forest animal bird horse flower star moon night morning
    secret mystery murder love marriage child daughter mother father soldier king queen prince
    doctor lawyer teacher painter builder farmer sailor merchant machine engine number energy
    climate chemistry physics geology medicine disease health food wine bread cloth paper
    glass iron silver gold ship railway road map world empire colony revolution reform crisis
    policy trade industry finance taxation insurance education psychology philosophy ethics
    religion prayer psalm sermon saint pilgrim temple myth legend folklore tale ballad song
    dance opera sculpture drawing design architecture photograph novel drama comedy tragedy
    essay criticism grammar dictionary atlas catalogue survey report inquiry treaty border
    frontier prairie desert valley harbour castle palace prison hospital library museum
    university
""")
_ADJECTIVES = listed("""
    new old great little lost hidden silent golden red white black green blue dark last first
    modern ancient early late national local general practical complete concise critical
    selected collected annotated illustrated popular public private royal sacred secular urban
    rural northern southern eastern western American English French German Russian Italian
    Spanish Indian Chinese African European social political economic military natural
    comparative applied theoretical elementary advanced experimental historical philosophical
    medieval literary musical moral broken burning distant endless forgotten quiet restless
    wandering
""")
_FIRST_NAMES = listed("""
    John Mary William Elizabeth James Anna Robert Margaret Thomas Sarah George Jane Charles
    Catherine Henry Alice Edward Helen David Ruth Richard Susan Joseph Barbara Peter Martha
    Paul Emma Michael Laura Daniel Julia Samuel Grace Martin Clara Frank Rose Arthur Edith
    Walter Hans Karl Friedrich Johann Heinrich Wilhelm Ingrid Pierre Jean Marie Louis Claude
    Jacques Giovanni Luigi Maria Carlo Giuseppe Juan Carlos Pedro Miguel Luis Carmen Pablo
    Ivan Nikolai Olga Sergei Tatiana Anton Jan Piet Willem Lars Nils Erik Astrid Mehmet Ali
    Fatima Hassan Ahmed Ravi Lakshmi Gopal Sunita Kenji Yuki Haruki Wei Ming Li Chen Kim Minh
    Kwame Amina
""")
_LAST_NAMES = listed("""
    Smith Johnson Brown Taylor Miller Wilson Moore Anderson Thomas Jackson White Harris Martin
    Thompson Clark Lewis Walker Hall Young King Wright Hill Scott Green Adams Baker Nelson
    Carter Mitchell Roberts Turner Phillips Campbell Parker Evans Edwards Collins Stewart
    Morris Rogers Reed Cook Morgan Bell Murphy Bailey Cooper Schmidt Schneider Fischer Weber
    Meyer Wagner Becker Hoffmann Schulz Dubois Laurent Lefebvre Moreau Simon Rossi Russo
    Ferrari Esposito Bianchi Romano Lopez Gonzalez Martinez Fernandez Silva Santos Oliveira
    Pereira Ivanov Petrov Smirnov Kuznetsov Popov Jansen Visser Bakker Hansen Olsen Larsen
    Nilsson Andersson Yilmaz Demir Khan Singh Sharma Gupta Patel Das Tanaka Suzuki Sato Wang
    Zhang Liu Nguyen Tran Park Lee Okafor Mensah
""")
_DIACRITIC_NAMES = listed("""
    Müller Böhm Krüger Schröder Jäger Göbel Strauß Lefèvre Hébert Désirée François René Zoë
    Noël Núñez Peña Ibáñez García Sánchez Gutiérrez Muñoz João Conceição Magalhães Åkesson
    Sjöström Bjørnson Sørensen Østby Dvořák Čapek Novák Kučera Šimek Łukasz Wiśniewski
    Kowalczyk Gałczyński Szabó Kovács Németh Petőfi Ştefan Brâncuşi Yıldız Çelik Öztürk Śāstrī
    Kṛṣṇa Bhaṭṭācārya Ṭhākura Cañjīva Ōe Kawabata Gaṇeśa
""")
_DIACRITIC_WORDS = listed("""
    café été poésie théâtre naïve société littérature française élémentaire étude über für
    Völker Geschichte Frühling Möglichkeit Straße niño corazón canción educación América señor
    época história coração nação revolução på och ström återkomst život příběh dějiny święto
    książka źródło čas śilpacetanā vyākaraṇa itihāsa kāvya saṃgraha bhāṣā purāṇa nāṭaka
""")
_PLACES = listed("""
    New York|London|Paris|Berlin|Boston|Chicago|Philadelphia|Washington|Moskva|Leipzig|Madrid|
    Roma|Milano|New Delhi|Calcutta|Bombay|Tokyo|Toronto|Oxford|Cambridge, Mass.|Cambridge|
    Edinburgh|Amsterdam|Wien|München|Zürich|Stuttgart|Frankfurt am Main|København|Stockholm|
    Oslo|Helsinki|Praha|Warszawa|Kraków|Budapest|Beograd|Lisboa|Barcelona|México|Buenos Aires|
    São Paulo|Rio de Janeiro|Santiago de Chile|Bogotá|Lima|Sydney|Melbourne|Wellington|Dublin|
    Glasgow|Baltimore|San Francisco|Los Angeles|Englewood Cliffs, N.J.|Princeton, N.J.|
    New Haven|Hartford, Conn.|Garden City, N.Y.|Ann Arbor|Minneapolis|Saint Louis|Austin|
    Atlanta|Montréal|Vancouver|Jerusalem|Tel-Aviv|Istanbul|Ankara|Cairo|Bayrut|Baghdad|Tihran|
    Lahore|Karachi|Dhaka|Colombo|Bangkok|Jakarta|Singapore|Hong Kong|Taibei|Beijing|Shanghai|
    Kyoto|Osaka|Seoul|Manila|Nairobi|Lagos|Accra|Dakar|Cape Town|Johannesburg|Bruxelles|Genève|
    Torino|Firenze|Napoli|Venezia|Athina|Bucureşti|Sofiia|Kiev|Leningrad|Tbilisi|Tashkent|Riga|
    Tallinn|Reykjavík
""")
_REGIONS = listed("""
    United States|Great Britain|France|Germany|India|England|Italy|Soviet Union|Japan|China|
    Canada|Spain|Russia|Europe|Mexico|Australia|Brazil|Ireland|Scotland|Africa|Latin America|
    Israel|South Africa|Poland|California|Texas|New York (State)|Massachusetts|Virginia|
    West Bengal|Ontario|Nigeria|Egypt|Greece|Sweden|Netherlands|Austria|Hungary|Turkey|
    Argentina|Chile|Québec|Perú|Côte d'Ivoire
""")
_HOUSES = listed("""
    Press|Books|Publishers|University Press|Verlag|Éditions|& Sons|& Co.|Publishing Company|
    Editorial|Izdatelstvo|House|Editore|Uitgeverij|Group|Prakashan|& Brothers|Media|Ltd.|
    Paperbacks
""")
_SUBDIVISIONS = listed("""
    History|Fiction|Juvenile literature|Biography|Congresses|Bibliography|Study and teaching|
    History and criticism|Social aspects|Economic aspects|Law and legislation|
    Handbooks, manuals, etc.|Exhibitions|Dictionaries|Catalogs|Philosophy|Political aspects|
    20th century|19th century|Early works to 1800|Addresses, essays, lectures|Maps|Statistics|
    Periodicals|Guidebooks|Textbooks|Translations into English|Correspondence
""")
_LINKING = listed("""
    the of and a in to that is for with as on by from at this his her their an into which was
    are
""")
_SOUNDS = listed("""
    ba be bi bo bra bur ca ce chi co cra da de di do dra e fa fe fi for ga ge gi go gra ha he
    hi ho ja ji ka ke ki ko kra la le li lo lu ma me mi mo mu na ne ni no nu o pa pe pi po pra
    ra re ri ro ru sa se shi so sta ta te ti to tra u va ve vi vo wa we wi ya yo za ze
""")
_SCRIPTS = {
    "Cyrillic": listed("ис то рия ли те ра ту на ро дов Рос сии кни га сло во вре мя жиз ни мир вой по э зия"),
    "Greek": listed("ισ το ρί α λό γος ποί η ση κό σμος Ελ λά δα βι βλί ο φω νή θά λασ σα"),
    "Arabic": listed("تا ريخ كت اب ال عر بية دي وان شع ر قص ة حي اة مد ينة علم نو ر"),
    "Devanagari": listed("भा रत इति हास क वि ता सा हि त्य जी वन प्रे म ग्रं थ रा म च रित"),
    "Chinese": listed("中 国 文 学 史 研 究 论 集 人 民 新 经 济 大 小 说 传 记 选 诗"),
    "Japanese": listed("日 本 の 文 化 と 歴 史 物 語 入 門 考 え る 東 京 を 読 む ノート"),
}
_SPACED_SCRIPTS = frozenset({"Cyrillic", "Greek", "Arabic", "Devanagari"})


_SCRIPT_NAMES = tuple(_SCRIPTS)
_VERBS = listed("""
    tells shows follows becomes remembers explores describes explains finds leaves meets
""")
_TITLE_SHAPES = listed("""
    the {adjective} {noun}|{noun} and {other}|the {noun} of {other}|a history of {noun}|
    introduction to {noun}|{adjective} {noun}|{noun} in {region}|the {noun}|
    {adjective} {noun} and the {other}|{region}, its {noun} and {other}|
    on the {adjective} {noun} of {other}|{noun}, {other} and {adjective} things|
    {other}'s {noun}|essays on {noun} in {region}|
    proceedings of the {adjective} conference on {noun}
""")
_SUBTITLE_SHAPES = (
    "a novel",
    "a study of {noun} and {other}",
    "the {adjective} guide to {noun}",
    "{noun}, {other} and the {adjective} mind",
    "essays in {adjective} {noun}",
    "an {adjective} handbook",
)
_SUBJECT_SHAPES = (
    "{noun}",
    "{noun} ({other})",
    "{noun}, {region}",
    "{noun} and {other}",
    "History of {other}",
)
_TITLE_ENDS = (
    *["", "", "", "", " and other stories", " for beginners", ", 2nd ed", " [microform]"],
    *[' "revisited"', *(f" in {region}" for region in _REGIONS)],
    *(f", {year}-{year + 4}" for year in range(1840, 1990, 7)),
)
_SENTENCE_ENDS = (".", ".", ".", "!", ".\r\n\r\n", "?")
_COUNTRIES = ("nyu", "enk", "gw ", "fr ", "ru ", "ii ", "cau", "it ", "mau", "sp ", "xx ")
_MONTHS = listed("""
    January February March April May June July August September October November December
""")
_LETTERS = "ABCDEFGHJKLMNPQRSTUVZ"
_FOREIGN_EVERY = 24
_FIRST_DAY = 20080401


@dataclass(frozen=True, slots=True)
class Words:
    """All tables of the vocabulary."""

    # Contents of JSON strings.
    people: Table
    titles: Table
    subtitles: Table
    regions: Table
    sources: Table
    sentences: Table
    slugs: Table
    # One or more items of a JSON list.
    subjects: Table
    subject_lists: Table
    heading_lists: Table
    # Values of members.
    texts: Table
    # Whole members, each followed by a comma and a space.
    imprints: Table
    publishers: Table
    classes: Table
    contents: Table
    lifetimes: Table
    measures: Table
    links: Table


@cache
def words() -> Words:
    """The vocabulary, prepared on first use (about half a second)."""
    return _Coiner(Random(_FIRST_DAY)).words()


def stored(text: str) -> str:
    """Return `text` as the content of a JSON string in COPY text, without the quotes."""
    return copy_escaped(json.dumps(text)[1:-1])


def copy_escaped(text: str) -> str:
    """Return `text` as COPY writes it. JSON contains no control characters, so only backslashes need escapes.

    https://www.postgresql.org/docs/current/sql-copy.html, "Text Format"
    """
    return text.replace("\\", "\\\\")


def spread(pool: Sequence[str], evenness: int) -> Table:
    """Return a table of SIDES entries: the share of rank k is proportional to 1 / (k + evenness % of all)."""
    offset = len(pool) * evenness // 100 + 1
    weights = [(1 << 32) // (rank + offset) for rank in range(len(pool))]
    total = sum(weights)
    table: list[str] = []
    for entry, weight in zip(pool, weights, strict=True):
        table.extend([entry] * (weight * SIDES // total))
    table.extend(pool[rank % len(pool)] for rank in range(SIDES - len(table)))
    return tuple(table)


class _Coiner:
    """Invents names and phrases. Uses only random(), whose sequence Python guarantees."""

    def __init__(self, random: Random) -> None:
        self._random = random.random
        self._nouns = _ENGLISH + self._coined(700) + _DIACRITIC_WORDS
        self._last_names = _LAST_NAMES + _DIACRITIC_NAMES + [name.title() for name in self._coined(1_500)]
        self._first_names = _FIRST_NAMES + _DIACRITIC_NAMES[:20]
        self._sentences = self._many(5_000, self._sentence)
        self._slugs = self._many(20_000, self._slug)

    def words(self) -> Words:
        return Words(
            people=spread(self._many(20_000, self._person), 50),
            titles=spread(self._many(20_000, self._title), 100),
            subtitles=spread(self._many(4_000, self._subtitle), 50),
            regions=spread([stored(region) for region in _REGIONS], 25),
            sources=spread(self._many(500, self._source), 20),
            sentences=spread(self._sentences, 100),
            slugs=spread(self._slugs, 100),
            subjects=spread(self._many(5_000, self._subject), 5),
            subject_lists=spread(self._many(8_000, lambda: self._items(self._subject, 5)), 20),
            heading_lists=spread(self._many(8_000, lambda: self._items(self._heading, 4)), 20),
            texts=spread(self._many(6_000, self._text), 100),
            imprints=spread(self._many(6_000, self._imprint), 10),
            publishers=spread(self._many(4_000, self._publishers), 5),
            classes=spread(self._many(10_000, self._classes), 100),
            contents=spread(self._many(1_500, self._contents), 100),
            lifetimes=spread(self._many(6_000, self._lifetime), 100),
            measures=spread(self._many(4_000, self._measures), 100),
            links=spread(self._many(4_000, self._link), 100),
        )

    def _below(self, limit: int) -> int:
        return int(self._random() * limit)

    def _pick(self, pool: Sequence[str]) -> str:
        """Return an entry of the pool, the first ones much more often."""
        chance = self._random()
        return pool[int(chance * chance * chance * len(pool))]

    def _many(self, count: int, coin: Callable[[], str]) -> list[str]:
        return [coin() for _ in range(count)]

    def _items(self, coin: Callable[[], str], most: int) -> str:
        return ", ".join([f'"{coin()}"' for _ in range(1 + self._below(most))])

    def _coined(self, count: int) -> list[str]:
        return ["".join(self._many(2 + at % 2, lambda: self._pick(_SOUNDS))) for at in range(count)]

    def _foreign(self, most_words: int) -> str:
        """Return one to `most_words` words in one non-Latin script."""
        script = _SCRIPT_NAMES[self._below(len(_SCRIPT_NAMES))]
        sounds = _SCRIPTS[script]
        count = 1 + self._below(most_words)
        phrase = ("".join(self._pick(sounds) for _ in range(2 + at % 2)) for at in range(count))
        return stored((" " if script in _SPACED_SCRIPTS else "").join(phrase))

    def _person(self) -> str:
        if self._below(_FOREIGN_EVERY) == 0:
            return self._foreign(2)
        return stored(f"{self._pick(self._first_names)} {self._pick(self._last_names)}")

    def _title(self) -> str:
        if self._below(_FOREIGN_EVERY) == 0:
            return self._foreign(5)
        phrase = self._pick(_TITLE_SHAPES).format(
            adjective=self._pick(_ADJECTIVES),
            noun=self._pick(self._nouns),
            other=self._pick(self._nouns),
            region=self._pick(_REGIONS),
        )
        return stored(phrase[0].upper() + phrase[1:] + self._pick(_TITLE_ENDS))

    def _subtitle(self) -> str:
        shape = self._pick(_SUBTITLE_SHAPES)
        return stored(
            shape.format(
                noun=self._pick(self._nouns),
                other=self._pick(_ENGLISH),
                adjective=self._pick(_ADJECTIVES),
            )
        )

    def _subject(self) -> str:
        shape = self._pick(_SUBJECT_SHAPES)
        noun, other = self._pick(_ENGLISH).capitalize(), self._pick(self._nouns)
        return stored(shape.format(noun=noun, other=other, region=self._pick(_REGIONS)))

    def _heading(self) -> str:
        """Return a subject as library catalogues write it, subdivided by dashes."""
        parts = [self._pick(_ENGLISH).capitalize(), self._pick(_REGIONS), self._pick(_SUBDIVISIONS)]
        return stored(" -- ".join(parts[: 2 + self._below(2)]) + ".")

    def _sentence(self) -> str:
        pools = (_LINKING, self._nouns, _ADJECTIVES, _LINKING, self._nouns, _VERBS)
        count = 8 + self._below(14)
        text = " ".join(self._pick(pools[at % len(pools)]) for at in range(count))
        return stored(text[0].upper() + text[1:] + self._pick(_SENTENCE_ENDS))

    def _text(self) -> str:
        """Return some sentences, in the forms that the members bio, notes and description have."""
        count = 1 + self._below(5)
        text = " ".join(self._sentences[self._below(len(self._sentences))] for _ in range(count))
        return f'{{"type": "/type/text", "value": "{text}"}}' if self._below(4) else f'"{text}"'

    def _slug(self) -> str:
        """Return the start of an archive.org identifier: the letters of a title without spaces."""
        return (self._pick(_ENGLISH) + self._pick(_SOUNDS) + self._pick(_ENGLISH)).lower()[:12]

    def _source(self) -> str:
        """Return a file of library records, as source_records names it before the offset."""
        if self._below(2):
            return f"marc:marc_loc_updates/v{self._below(40)}.i{self._below(52)}.records.utf8:"
        return f"marc:marc_records_scriblio_net/part{self._below(30)}.dat:"

    def _publishers(self) -> str:
        house = f"{self._pick(self._last_names)} {self._pick(_HOUSES)}"
        return f'"publishers": ["{stored(house)}"], '

    def _imprint(self) -> str:
        """Return publisher, place and country of a catalogued edition."""
        place = f'"publish_places": ["{stored(self._pick(_PLACES))}"], ' if self._below(8) else ""
        return f'{self._publishers()}{place}"publish_country": "{self._pick(_COUNTRIES)}", '

    def _classes(self) -> str:
        """Return class marks: Library of Congress, Dewey, or both."""
        letters = f"{_LETTERS[self._below(21)]}{_LETTERS[self._below(21)]}{self._below(9000)}"
        mark = f"{letters}.{_LETTERS[self._below(21)]}{self._below(90)} {1900 + self._below(110)}"
        congress = f'"lc_classifications": ["{mark}"], '
        dewey = f'"dewey_decimal_class": ["{self._below(1000):03}/.{self._below(1000)}"], '
        return (congress, congress + dewey, congress + dewey, dewey)[self._below(4)]

    def _contents(self) -> str:
        chapters = ", ".join(
            '{"type": {"key": "/type/toc_item"}, "label": "", '
            f'"pagenum": "{1 + chapter * 17}", "title": "{self._title()}", "level": 1}}'
            for chapter in range(3 + self._below(8))
        )
        return f'"table_of_contents": [{chapters}], '

    def _lifetime(self) -> str:
        born = 1780 + self._below(200)
        if self._below(2):
            return f'"birth_date": "{born}", "death_date": "{born + 30 + self._below(60)}", '
        return f'"birth_date": "{1 + self._below(28)} {_MONTHS[self._below(12)]} {born}", '

    def _measures(self) -> str:
        height = f"{5 + self._below(7)}.{self._below(10)}"
        sizes = f"{height} x {4 + self._below(6)} x 0.{1 + self._below(9)}"
        return f'"weight": "{1 + self._below(40)}.{self._below(10)} ounces", "physical_dimensions": "{sizes} inches", '

    def _link(self) -> str:
        slug = self._slugs[self._below(len(self._slugs))]
        return (
            f'"links": [{{"url": "http://www.{slug}.org/{self._below(10_000)}", '
            f'"type": {{"key": "/type/link"}}, "title": "{slug.capitalize()}"}}], '
        )
