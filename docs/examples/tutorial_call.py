import atoll

PRICES = {"apple": 3, "pear": 5}


def total(basket):
    return sum(PRICES[fruit] * count for fruit, count in basket.items())


with atoll.create(name="till") as interp:
    print(interp)
    print(interp.call(total, {"apple": 2, "pear": 1}))
    try:
        interp.call(total, {"plum": 1})
    except atoll.ExecutionFailed as error:
        print("there:", error.excinfo.formatted)
        print("here: ", repr(error.__cause__))
