"""People of Europe: names, and towns with their postcodes, as they exist; streets and numbers are made up."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass

from bot.playground.market.flavours.flavour import Resident


@dataclass(frozen=True, slots=True, kw_only=True)
class _Country:
    given_names: tuple[str, ...]
    surnames: tuple[str, ...]
    towns: tuple[tuple[str, str], ...]
    streets: tuple[str, ...]
    address: str


_GERMANY = _Country(
    given_names=("Anna", "Clara", "Emma", "Frieda", "Greta", "Hanna", "Ida", "Johanna", "Katrin", "Lena",
                 "Mia", "Sabine", "Jonas", "Lukas", "Matthias", "Stefan"),
    surnames=("Becker", "Fischer", "Hoffmann", "Klein", "Koch", "Krüger", "Meyer", "Müller", "Neumann", "Richter",
              "Schäfer", "Schmidt", "Schneider", "Wagner", "Weber", "Zimmermann"),
    towns=(("20457", "Hamburg"), ("28195", "Bremen"), ("24103", "Kiel"), ("18055", "Rostock"), ("23552", "Lübeck"),
           ("10115", "Berlin"), ("50667", "Köln"), ("80331", "München"), ("04109", "Leipzig"), ("26122", "Oldenburg")),
    streets=("Hauptstraße", "Bahnhofstraße", "Gartenstraße", "Schulstraße", "Lindenstraße", "Hafenstraße"),
    address="{street} {number}, {town}, Germany",
)  # fmt: skip
_FRANCE = _Country(
    given_names=("Agathe", "Camille", "Chloé", "Élodie", "Inès", "Jeanne", "Léa", "Louise", "Manon", "Margaux",
                 "Sophie", "Zoé", "Antoine", "Hugo", "Julien", "Mathieu"),
    surnames=("Bernard", "Bonnet", "Dubois", "Dupont", "Fontaine", "Garnier", "Girard", "Lambert", "Laurent",
              "Lefèvre", "Martin", "Moreau", "Petit", "Robert", "Rousseau", "Simon"),
    towns=(("13002", "Marseille"), ("17000", "La Rochelle"), ("35400", "Saint-Malo"), ("33000", "Bordeaux"),
           ("44000", "Nantes"), ("29200", "Brest"), ("75011", "Paris"), ("69002", "Lyon"), ("76600", "Le Havre"),
           ("06300", "Nice")),
    streets=("rue de la République", "rue Victor Hugo", "rue Pasteur", "rue des Écoles", "rue du Port", "rue Voltaire"),
    address="{number} {street}, {town}, France",
)  # fmt: skip
_SPAIN = _Country(
    given_names=("Alba", "Ana", "Carmen", "Elena", "Inés", "Irene", "Laura", "Lucía", "Marta", "Nuria", "Paula",
                 "Sofía", "Álvaro", "Diego", "Javier", "Pablo"),
    surnames=("Álvarez", "Castro", "Díaz", "Fernández", "García", "Gómez", "Iglesias", "López", "Martínez", "Navarro",
              "Ortega", "Pérez", "Ramos", "Ruiz", "Sánchez", "Torres"),
    towns=(("08003", "Barcelona"), ("46011", "Valencia"), ("11001", "Cádiz"), ("29001", "Málaga"), ("15001", "A Coruña"),
           ("28004", "Madrid"), ("41001", "Sevilla"), ("39001", "Santander"), ("48001", "Bilbao"), ("07001", "Palma")),
    streets=("Calle Mayor", "Calle Real", "Calle del Puerto", "Calle Nueva", "Calle San Juan", "Calle de la Paz"),
    address="{street} {number}, {town}, Spain",
)  # fmt: skip
_BELGIUM = _Country(
    given_names=("An", "Charlotte", "Eline", "Fien", "Hanne", "Julie", "Lotte", "Marie", "Nele", "Sarah", "Sofie",
                 "Tess", "Bram", "Jef", "Pieter", "Wout"),
    surnames=("Claes", "De Smet", "Dubois", "Goossens", "Hermans", "Jacobs", "Janssens", "Lemmens", "Maes", "Mertens",
              "Peeters", "Smets", "Van Damme", "Vermeulen", "Willems", "Wouters"),
    towns=(("2000", "Antwerpen"), ("8400", "Oostende"), ("9000", "Gent"), ("8000", "Brugge"), ("1000", "Brussel"),
           ("3000", "Leuven"), ("2800", "Mechelen"), ("8380", "Zeebrugge")),
    streets=("Kerkstraat", "Stationsstraat", "Molenstraat", "Havenstraat", "Schoolstraat", "Nieuwstraat"),
    address="{street} {number}, {town}, Belgium",
)  # fmt: skip
_FINLAND = _Country(
    given_names=("Aino", "Anni", "Eeva", "Elina", "Helmi", "Iida", "Kaisa", "Laura", "Liisa", "Noora", "Sanna",
                 "Venla", "Antti", "Eero", "Mikko", "Ville"),
    surnames=("Hämäläinen", "Heikkinen", "Järvinen", "Koskinen", "Korhonen", "Laine", "Lehtonen", "Mäkelä", "Mäkinen",
              "Nieminen", "Niemi", "Rantanen", "Saarinen", "Salonen", "Virtanen", "Tuominen"),
    towns=(("00170", "Helsinki"), ("20100", "Turku"), ("33100", "Tampere"), ("90100", "Oulu"), ("65100", "Vaasa"),
           ("28100", "Pori"), ("48100", "Kotka"), ("10900", "Hanko")),
    streets=("Rantakatu", "Satamakatu", "Kirkkokatu", "Koulukatu", "Puistokatu", "Asemakatu"),
    address="{street} {number}, {town}, Finland",
)  # fmt: skip
_COUNTRIES = (_GERMANY, _GERMANY, _FRANCE, _SPAIN, _BELGIUM, _FINLAND)


def make_resident(rng: random.Random) -> Resident:
    """Somebody new. Takes one number of `rng`, so that other data never shifts the rest of a story."""
    own = random.Random(rng.getrandbits(64))  # noqa: S311 (a repeatable story, no secret)
    country = own.choice(_COUNTRIES)
    given, surname = own.choice(country.given_names), own.choice(country.surnames)
    latin = _latin(given)
    code, town = own.choice(country.towns)
    number = str(own.randrange(1, 140))
    if own.random() < 0.4:
        number += own.choice("abc")
    street = country.address.format(street=own.choice(country.streets), number=number, town=town)
    return Resident(
        surname=surname,
        given_name=given,
        full_name=f"{given} {surname}",
        surname_kana=None,
        given_kana=None,
        latin=latin,
        nicks=(
            given,
            f"{latin}{own.randrange(100)}",
            f"{given} {surname[0]}.",
            f"{latin}.{_latin(surname)}",
            f"{given} & co",
        ),
        postal_code=code,
        street=street,
        address=street,
        # The prefix of Europe's own numbering space, given back in 2010: nobody's.
        phone=f"+388 3{own.randrange(1000):03d} {own.randrange(100000):05d}",
    )


def _latin(name: str) -> str:
    """As a mail address has it: without marks and spaces."""
    bare = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    return "".join(sign for sign in bare if sign.isascii() and sign.isalpha()).lower()
