# Each argument is an input of json:loads; so would be each line of standard input.
atoll map json:loads '[1, 2]' '{"a": null}' 3
