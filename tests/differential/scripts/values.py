from concurrent import interpreters


def same(value):
    return value


interp = interpreters.create()
deep = [1, [2, (3, {"four": {5, 6}, 7: frozenset([8])})]]
values = [
    None, True, False, 0, -1, 2**31, 2**63, 10**40, -(10**40), 1.5, float("inf"), -0.0, 1 + 2j, "", "text", "\u00e9\u4e2d\U0001f40d",
    b"", b"\0\xff", bytearray(b"abc"), (), (1, "two", (3.0,)), [], [None, [True]], {}, {"a": [1], 2: (3,)}, set(), {1, 2},
    frozenset({3}), slice(1, 2), range(1, 10, 2), Ellipsis, NotImplemented, deep,
]
for value in values:
    back = interp.call(same, value)
    print(type(back).__name__, sorted(back) if isinstance(back, (set, frozenset)) else back, back == value)

print(str(interp.call(same, float("nan"))), interp.call(same, -0.0))
x = [1]
back = interp.call(same, [x, x, (x,)])
print(back, back[0] is back[1])
print(interp.call(len, "four"), interp.call(sorted, [3, 1, 2], reverse=True), interp.call(dict, a=1, b=[2]))
print(interp.call(max, 1, 5, 3), interp.call(int, "ff", 16), interp.call(str.upper, "abc"))
data = bytearray(b"0123456789")
view = memoryview(data)
interp.prepare_main(view=view)
interp.exec("view[0] = ord('X'); print(view.nbytes, bytes(view[:3]))")
print(data)
