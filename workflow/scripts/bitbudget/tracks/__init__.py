"""One module a track: what is asked of a model and how its answers are scored.

`PRIMARY`   the metric that counts, one of `METRICS`; a data set may name another. A metric has a label, a unit and
            higher_is_better, and if it applies `range` (one answer's value from wrong to right), `scale: log` (it is
            drawn so where values differ much), `against_baseline` (the baseline itself has none)
`PROMPT`    what is asked where a study does not say; None where nothing is
`IMAGES`    whether items have images; `FEW_SHOT` whether examples can stand before them
`ANSWER`    the key of a prediction row that holds the answer, and with it what it is: `text`, which need not be said,
            or `detections`, a list
`ROWS`      whether `score` is given whole prediction rows, not the answers; not there where it is not
`LOGITS`    whether it is given logits as well, a precision's and the baseline's; not there where it is not
`USES_PARAPHRASES` whether it is given METEOR's table; not there where it is not
`SPOT_CHECK` items that people rate where the study names no number; not there where none can be
`RUNTIME`, `DEFAULT_PRECISIONS` what runs its models, and the precisions of a study that names none
`FLOOR`, `RESAMPLED`, `FIGURES` what figures say of the floor and of the bootstrap's draws, and what figures there are
            beside those of all tracks
`SHOWN`     the metrics that the figure of quality draws; not there where it draws all that were computed
`PHASES`    the parts of an answer whose latency is measured, by the names of the metrics `latency_{phase}`; not there
            where they are a generated text's
`score`     the metrics of the record, and one dict an item; `breakdown`, where there is one, the same by kinds of item
`resampled` how the metrics follow from the items drawn into a resample, from rows of item_scores.jsonl, in which
            `score` therefore keeps what each metric is made of (a `statistics.Resampled`); the order of the rows is
            that of the units
`worth`     what one row is worth by itself in a metric, more being better; not there where it is the row's value
`WORTH`     the same in words, for who reads how many items became better or worse; not there where it is that value
`blind_answers` answers given without looking, or reading, whose score is the floor
"""
