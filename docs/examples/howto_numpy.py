"""NumPy in the main interpreter, pure Python in the others, one memory."""

import numpy as np

import atoll

ROWS, COLUMNS = 4, 1000


def smooth(buffer, row, columns):
    """A loop that NumPy has no function for: each value depends on the last one's result."""
    values = memoryview(buffer).cast("d")[row * columns : (row + 1) * columns]
    level = 0.0
    for i, value in enumerate(values):
        level += 0.1 * (value - level) if value > level else 0.01 * (value - level)
        values[i] = level


buffer = atoll.SharedBuffer(ROWS * COLUMNS * 8)
array = np.frombuffer(buffer, dtype=np.float64).reshape(ROWS, COLUMNS)
array[:] = np.sin(np.arange(ROWS * COLUMNS)).reshape(ROWS, COLUMNS)

with atoll.InterpreterPoolExecutor(2) as pool:
    # The buffer crosses by reference: nothing is copied, there or back.
    list(pool.map(smooth, [buffer] * ROWS, range(ROWS), [COLUMNS] * ROWS))
print("means of the rows:", array.mean(axis=1).round(3).tolist())
