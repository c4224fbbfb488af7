"""Text of strangers, in and out: never our JSON, a control token, a formula or a program."""
