"""Indented text, which 3.14 and atoll dedent by the margin of the first line."""

from concurrent import interpreters

interp = interpreters.create()
interp.exec("""
    print('indented')
    if True:
        print('more')
    """)
interp.exec("""
    text = '''
  left of the margin
        and right of it'''
    print(text)
    """)
