import threading

from concurrent import interpreters

interp = interpreters.create()
lines = []


def work(word):
    print("in a thread:", word)


def fail():
    raise ValueError("in a thread")


thread = interp.call_in_thread(work, "hello")
thread.join()
print(isinstance(thread, threading.Thread), thread.daemon, thread.is_alive())

seen = []
threading.excepthook = lambda args: seen.append(args)
thread = interp.call_in_thread(fail)
thread.join()
print([(args.exc_type.__name__, args.exc_value.excinfo.type.__name__, args.thread is thread) for args in seen])

try:
    interp.call_in_thread()
except TypeError:
    print("TypeError")
queue = interpreters.create_queue()


def talk(queue):
    queue.put(queue.get() + 1)
    queue.put("done")


both = interpreters.create_queue()
answers = interpreters.create_queue()


def answer(questions, answers):
    while (question := questions.get()) is not None:
        answers.put(question * 2)


thread = interp.call_in_thread(answer, both, answers)
for number in range(3):
    both.put(number)
    print(answers.get())
print(interp.is_running())
try:
    interp.exec("print('meanwhile')")
except interpreters.InterpreterError as error:
    print(type(error).__name__)
try:
    interp.close()
except interpreters.InterpreterError as error:
    print(type(error).__name__)
both.put(None)
thread.join()
print(interp.is_running())
