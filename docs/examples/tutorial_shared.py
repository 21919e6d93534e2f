import atoll


def fill(buffer, start, value):
    view = memoryview(buffer)
    for i in range(start, start + 4):
        view[i] = value


buffer = atoll.SharedBuffer(8)
with atoll.create() as one, atoll.create() as two:
    one.call(fill, buffer, 0, 1)
    two.call(fill, buffer, 4, 2)
print(bytes(buffer))
