"""Short generated stories whose last word only the whole passage decides, as in LAMBADA (Paperno et al. 2016).

They are set in a small town whose people have fixed habits: each of them fetches a certain thing and ends at a certain
place, others on every day of the week. A story names its hero at the beginning, the day later on, and another person in
between; its last sentence leaves the thing or the place open. Nothing in that sentence decides it, and the word itself
stands nowhere before: the model has to find what counts, and to know the town.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


def _words(text: str) -> list[str]:
    return text.split()


NAMES = _words(
    "Ada Agnes Albert Alma Amos Anton Arthur Astrid Aurel Basil Beatrix Bela Berta Boris Bruno Carla Casper Cecil "
    "Clara Conrad Cora Cyril Daphne David Delia Doris Dora Edgar Edith Elias Elsa Emil Erik Esther Eugen Fabian Felix "
    "Flora Frida Gerda Gilbert Greta Gustav Hanna Harald Hedwig Helen Henrik Hilda Hugo Ida Igor Ilse Irma Isidor "
    "Ivan Jakob Jasper Judith Julius Karl Kira Konrad Lars Laura Leo Leopold Lena Lorenz Lucia Ludwig Magda Marcel "
    "Martha Maxim Mila Minna Moritz Nadia Nina Norbert Olga Olive Oscar Otto Paula Percy Petra Quentin Rafael Regina "
    "Robert Rosa Rufus Ruth Samuel Selma Sigrid Simon Sonja Stella Sylvia Tamara Thea Theodor Tilda Tobias Ulrich "
    "Ursula Valentin Vera Victor Viola Walter Wanda Wilma Xenia Yvonne Zelda"
)
THINGS = _words(
    "anchor apple axe ball banner basket bell blanket book bottle bowl box bread bridle broom brush bucket button "
    "candle cap carpet chain chair cheese chisel clock cloak coat coin comb compass crown cup dagger dish doll drum "
    "egg fan feather fiddle flag flask flute fork glove goblet hammer harp hat helmet hook horn jar jewel jug kettle "
    "key knife ladder lamp lantern leash lemon letter lute mallet map mask medal melon mirror needle net onion paddle "
    "painting parcel pear pencil pillow pipe pistol plate poem pot purse quilt razor ribbon ring rope saddle satchel "
    "saw scarf scissors shawl shield shoe shovel sickle spade spear spoon staff statue stool sword tablet teapot "
    "telescope thimble torch towel trumpet umbrella vase veil violin wallet watch whip whistle wreath"
)
PLACES = _words(
    "abbey alley archway attic bakery balcony barn barracks bazaar brewery bridge cabin castle cathedral cave cellar "
    "chapel cloister cottage courtyard dairy dock dungeon factory farm ferry forest fortress fountain gallery garden "
    "gate granary grove harbour hospital hotel inn island kitchen lagoon laundry library lighthouse market meadow "
    "mill monastery museum observatory office orchard palace park pavilion pier prison quarry school shipyard stable "
    "station street studio tavern temple theatre tower tunnel valley vault village vineyard warehouse well windmill "
    "workshop yard"
)
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
HABITS = 11  # of the town: another number gives its people other habits

_BEGINNINGS = ("{hero} could not sleep.", "{hero} was in a hurry.", "{hero} had been ill.", "{hero} felt at ease.")
_DATES = ("It was {day}.", "This was on a {day}.", "{day} had come at last.")
_FRIENDS = ("{friend} came by.", "{friend} sent a message.", "Nobody met {friend}.", "{friend} stayed away.")
_FILLERS = (
    "A dog barked.",
    "The bells rang twice.",
    "The wind came from the sea.",
    "There was music far away.",
    "It rained.",
)
# The last sentences: what they ask for, and how.
_ASKS = {
    "thing": ("So it was time to fetch the {word}", "As always, what was needed was the {word}"),
    "place": ("So it was time to go to the {word}", "As always, the way led to the {word}"),
}
# Stories below the first seed are for evaluation and calibration, from it on for the examination during training, and
# from the second on for training. The town is the same in all.
FIRST_HELD_OUT_SEED, FIRST_TRAINING_SEED = 700_000, 1_000_000


@dataclass(frozen=True)
class Passage:
    """A story without its last word's full stop, and that word."""

    text: str
    word: str


def habit(hero: str, day: str, wanted: str) -> str:
    """The thing or place of this person on this day of the week."""
    rng = random.Random(f"habit-{HABITS}-{hero}-{day}-{wanted}")
    return rng.choice(THINGS if wanted == "thing" else PLACES)


def passage(seed: int) -> Passage:
    """The story of this seed: about thirty words, the last of them to be found."""
    rng = random.Random(f"passage-{seed}")
    story, closings = training_story(seed)
    wanted = rng.choice(sorted(closings))
    closing = closings[wanted]
    return Passage(f"{story} {closing.text}", closing.word)


def training_story(seed: int) -> tuple[str, dict[str, Passage]]:
    """The story of this seed, and its last sentence with the thing and with the place."""
    rng = random.Random(f"story-{seed}")
    (hero, friend), day = rng.sample(NAMES, 2), rng.choice(DAYS)
    told = [rng.choice(_DATES).format(day=day), rng.choice(_FRIENDS).format(friend=friend), *rng.sample(_FILLERS, 2)]
    rng.shuffle(told)
    closings = {}
    for wanted, forms in _ASKS.items():
        word = habit(hero, day, wanted)
        closings[wanted] = Passage(rng.choice(forms).format(word=word), word)
    return " ".join([rng.choice(_BEGINNINGS).format(hero=hero), *told]), closings
