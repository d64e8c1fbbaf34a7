"""The words of a text, and the function words of some languages."""

from __future__ import annotations

import re
from collections.abc import Mapping

# The most common words of the Latin-script languages that replies are most often in. A word that
# several languages share counts for each of them.
COMMONEST = {
    "English": (
        "the a an and or but of to in on at for with from by as is are was were be been it its "
        "this that these those i you he she we they my your his her our their me him us them "
        "not do does did have has had can could will would should may if so what which who when "
        "where why how there here about more than into also please tell"
    ),
    "French": (
        "le la les un une des du de et ou mais est sont était être il elle on nous vous ils "
        "elles je tu ce cette ces qui que quoi dans pour avec sur par pas ne plus au aux en son "
        "sa ses votre vos notre nos leur mon ma mes si où comment quand peut pouvez très bien "
        "aussi"
    ),
    "German": (
        "der die das ein eine einen einem einer des dem den und oder aber ist sind war waren "
        "sein ich du er sie es wir ihr nicht kein mit von zu zum zur für auf im in an bei nach "
        "aus über als auch wie was wer wann wo warum wenn dass kann können wird werden hat "
        "haben ihre ihren mein dein sehr noch nur"
    ),
    "Spanish": (
        "el la los las un una unos de del y o pero es son era ser está están en con por para "
        "que quien como cuando donde no sí se su sus mi tu lo le les al más muy también puede "
        "pueden usted ustedes yo nosotros ellos este esta estos esto hay"
    ),
    "Italian": (
        "il lo la i gli le un uno una di del della dei delle e o ma è sono era essere in con "
        "per che chi come quando dove non si su suo sua mio tuo al alla più molto anche può "
        "possono lei io noi voi loro questo questa nel nella dal"
    ),
    "Portuguese": (
        "o a os as um uma de do da dos das e ou mas é são era ser está em no na nos nas com por "
        "para que quem como quando onde não se seu sua meu ao à mais muito também pode podem "
        "você eu nós eles este esta isso há"
    ),
    "Dutch": (
        "de het een en of maar is zijn was waren ik jij je hij zij ze wij we u niet geen met "
        "van voor op in aan bij naar uit over als ook hoe wat wie wanneer waar waarom dat deze "
        "dit kan kunnen kunt wordt worden heeft hebben uw mijn er nog zeer"
    ),
}
FUNCTION_WORDS: Mapping[str, frozenset[str]] = {
    name: frozenset(words.split()) for name, words in COMMONEST.items()
}
# A word, or a single character of a script without spaces.
UNIT = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|"
    r"[^\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+(?:['’][^\W\d_]+)?"
)

CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)


def prose(text: str) -> str:
    """A text without the parts that are marked as code."""
    return CODE.sub(" ", text)


def units(text: str) -> list[str]:
    """The words of a text in lower case; in Chinese and Japanese, the characters."""
    return UNIT.findall(text.lower())


def is_function_word(word: str) -> bool:
    return any(word in own for own in FUNCTION_WORDS.values())
