"""What is looked for in a study's outputs beside their quality, and how personal strings are kept out of what is shown.

`objects`, `truth`, `chair`                   objects that a caption names and the image does not show
`privacy`, `plates`, `redaction`              strings that may be about a person, found and replaced
`profanity`                                   profanity and slurs
`people`                                      wording about people that is prone to stereotypes
`screen`, `findings`                          all of it over every answer of a study, as a record and a table

All but the hallucinated objects are screens for a person to look at: they find what is like what they look for, and
miss what is not. Nothing is dropped for being flagged.
"""
