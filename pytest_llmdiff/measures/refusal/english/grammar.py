"""Parts of English refusals, from which the patterns are built."""

from __future__ import annotations

# The grammar of an open refusal: who, is not able or not willing, to do what for the asker.
ADVERBS = (
    r"(?: (?:just|also|therefore|very|still|must|have to|need to|would have to|think i|"
    r"[a-z]{3,}ly))*"
)
BE = r"(?:'m| am|'d| would| do|'ve| have|'ll| will)?"
ME = rf"\b(?:sorry but )?i{BE}{ADVERBS}"
BOT = (
    r"\b(?:this|the|your|our) (?:\w+ )?(?:assistant|chat ?bot|bot|model|chat|system|service|tool|"
    r"platform|team|agents?)(?: (?:is|are|has|have|does|do))?"
)
WE = rf"\b(?:we(?:'re| are|'ll| will)?|{BOT}){ADVERBS}"
CANNOT = (
    r"(?:cannot|can not|can't|couldn't|could not|won't|will not|wouldn't|would not|must not|"
    r"mustn't|shall not|should not|shouldn't|may not|will never|would never|never)"
)
NOT_TO = (
    r"(?:(?:un|not )(?:able|willing|allowed|permitted|prepared|equipped|qualified|authori[sz]ed|"
    r"programmed|designed|built|trained|supposed|meant|inclined|licensed|at liberty|here|going|"
    r"about|gonna)(?: to)?|not in (?:a|any) position to|incapable of|(?:prohibited|barred|"
    r"prevented|restricted|blocked) from|forbidden to|not comfortable(?: with)?|"
    r"uncomfortable(?: with)?|not interested in|not ok(?:ay)? with)"
)
UNWILLING = (
    r"(?:(?:decline|refuse|declining|refusing|abstain|refrain)(?: (?:to|from))?|rather not|"
    r"(?:prefer|choose|opt|like|want|wish|care) not to|(?:not|don't)(?: really)? (?:want|wish|"
    r"like|care|"
    r"intend|plan|feel like)(?: to)?|leaving|"
    r"(?:no|not any) intention of|no way (?:to|of)|(?:avoid|resist))"
)
UNABLE = rf"(?:{CANNOT}|{NOT_TO}|{UNWILLING})"
BETWEEN = (
    r"(?: (?:in good conscience|in any way|be able to|help|assist|be|or|and|to|"
    r"with|in|either|just|ever|further|even|you|will not|won't|cannot|do|[a-z]+ly))*"
)
# What an assistant does for those who ask.
SERVE = (
    r"provid|assist|help|fulfil|satisf|answer|compl(?:y|ied|ete this)|giv(?:e|ing)|suggest|"
    r"encourag|promot|support|condon|endors|participat|engag|discuss|shar(?:e|ing)|"
    r"creat|writ(?:e|ing)|generat|produc|respond|do (?:that|this|it|so|such|any)|doing (?:that|"
    r"this|it|so)|tell you|continu|comment|advis|guid|teach|show you|explain|list|disclos|reveal|"
    r"speculat|justif|proceed|facilitat|accommodat|instruct|contribut|entertain|cooperat|"
    r"mak(?:e|ing) (?:jokes|judg|assumptions|fun|that|such|any|up|a (?:joke|case|judg))|oblige|"
    r"determin|be (?:a )?part|tak(?:e|ing) (?:a )?(?:part|position|stance|side|that on|this on)|"
    r"grant|carry out|go (?:into|there|down|along)|talk|describ|outlin|walk you|look (?:up|into)|"
    r"perform|act on|draft|compos|tolerat|glorif|spread|play along|translat|summari[sz]|"
    r"role-?play|pretend|impersonat|diagnos|prescrib|predict|recommend|offer|process|execut|"
    r"simulat|say (?:that|such|those|anything|this)|repeat|insult|weigh in|get into|dig into|"
    r"touch|speak (?:to|about|on|for)|opine|express|judge|rank|accept|honou?r|"
    r"reproduc(?:e|ing) (?!the (?:error|bug|issue|problem))|mak(?:e|ing) (?:\w+ )?predictions|"
    r"approve|access|assess|pursue|indulge|enable|hand (?:over|out)|give out|send you"
)
DO = rf" (?:{SERVE})"
# "We" of a company says much that it cannot do without refusing an answer.
WE_DO = (
    r" (?:(?:provid|giv|offer)\w*(?: \w+){0,4} (?:advice|information|details|guidance|"
    r"instructions|recommendations?|opinions?|support for|assistance|help|answers?)|assist|"
    r"help|fulfil|answer|comply|discuss|respond|comment|advis\w+ (?:on|you)|engag|entertain|"
    r"support (?:this|that|such)|(?:shar|disclos|reveal)\w* |process (?:this|that|such|your) req)"
)
SORRY = r"(?:(?:i'm |i am )?(?:\w+ )?sorry|apologies|(?:i|we) apologi[sz]e|my apologies)"
OPENER = rf"(?:{SORRY}|no|nope|unfortunately|regrettably|thanks[^,.!]*|thank you[^,.!]*)"
# Openers in a row. A text is split into them in one way only: with two ways, the time would double
# with each opener. For the same reason, no loop here has two parts that match the same words.
_FIRST = r"no|nope|unfortunately|regrettably|apologies"
_PLAIN = (
    rf"(?:{_FIRST}|(?:i|we) apologi[sz]e|my apologies|"
    rf"(?:(?:i'm |i am )(?:\w+ )?|(?!(?:{_FIRST}|sorry|thanks) )\w+ )?sorry)"
)
_THANKS = r"(?:thanks|thank you)[^,.!]*"
_BUT = r"(?:but (?!sorry))?"
OPENERS = rf"(?:{_PLAIN}[,.;:!]? {_BUT}|{_THANKS}[,.!] {_BUT})*(?:{_THANKS} )?"
THAT = (
    r"(?:this|that|it|such|these|those|(?:what|the thing)s? you(?:'re| are)? \w+|"
    r"(?:the|your|this|that|such an?|any) (?:\w+ )?(?:request|topic|question|subject|query|matter|"
    r"content|prompt|inquiry|message|kind|type|task|area|discussion|conversation))"
)
RULES = (
    r"(?:polic(?:y|ies)|guidelines?|principles?|terms|rules?|standards?|programming|training|"
    r"values|ethics|settings|filters?|restrictions?|safeguards?|instructions|code of conduct)"
)
OWN_RULES = (
    rf"(?:(?:my|our|the platform's) (?:[\w-]+ ){{0,3}}{RULES}|"
    rf"(?:content|safety|usage|community|platform|ethical|acceptable use|openai's) "
    rf"(?:\w+ )?{RULES})"
)
FORBID = (
    r"(?:(?:do|does|will|would)(?:n't| not) (?:let|allow|permit|enable)|prevents?|prohibits?|"
    r"forbids?|bars?|restricts?|keeps?|stops?|precludes?|disallows?|limits?|rules? out)"
)
