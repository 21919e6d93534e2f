/* Docstrings of interpreter.c, apart so that the code stays readable. */
#ifndef ATOLL_EXT_INTERPRETER_DOC_H
#define ATOLL_EXT_INTERPRETER_DOC_H

PyDoc_STRVAR(
    Interpreter_doc,
    "Interpreter(id, /)\n--\n\n"
    "A handle to the interpreter with that id.\n\n"
    "There is one handle per id in each interpreter; it is hashable, can be\n"
    "pickled and sent, and can be used in a with statement.  The last\n"
    "reference to an interpreter that atoll made closes it.\n\n"
    "Raises InterpreterNotFoundError if there is no such interpreter.");

PyDoc_STRVAR(
    is_running_doc,
    "is_running($self, /)\n--\n\n"
    "Return whether the interpreter runs code in its __main__ just now.");

PyDoc_STRVAR(
    close_doc,
    "close($self, /, *, interrupt=False, timeout=0.0)\n--\n\n"
    "End the interpreter: join its threads, run its atexit functions, free\n"
    "its memory.\n\n"
    "interrupt: first interrupt what runs there, and wait for it up to\n"
    "timeout seconds (None: for ever).  What cannot be ended (a running\n"
    "call, a thread stuck in C, a daemon thread) is an InterpreterError that\n"
    "names it.  The process is never aborted.");

PyDoc_STRVAR(
    prepare_main_doc,
    "prepare_main($self, ns=None, /, **kwargs)\n--\n\n"
    "Bind the given values in the interpreter's __main__, all or none.");

PyDoc_STRVAR(
    exec_doc,
    "exec($self, code, /, dedent=True)\n--\n\n"
    "Run code in the interpreter's __main__, in the current thread.\n\n"
    "code: text, a code object, or a function of no arguments.  Text whose\n"
    "first non-blank line is indented is dedented by that margin.\n\n"
    "Raises ExecutionFailed for whatever the code raised, a SyntaxError\n"
    "included; InterpreterError if something runs there already.");

PyDoc_STRVAR(
    call_doc,
    "call($self, callable, /, *args, **kwargs)\n--\n\n"
    "Call the callable in the interpreter, in the current thread, and return\n"
    "its result.\n\n"
    "Callable, arguments and result are copied; see 'What crosses'.  Raises\n"
    "ExecutionFailed, whose __cause__ is the original exception where it can\n"
    "cross; NotShareableError, which names the place of what cannot cross;\n"
    "InterpreterError if something runs there already.");

PyDoc_STRVAR(
    limits_doc,
    "limits($self, *, cpu_seconds=None, wall_seconds=None, "
    "memory_bytes=None)\n--\n\n"
    "From now on, limit what each call into this interpreter may use.\n\n"
    "cpu_seconds: CPU time of the thread that runs the call and of the\n"
    "threads that live in the interpreter; wall_seconds: time;\n"
    "memory_bytes: what the interpreter may hold in all while a call runs.\n"
    "None: not limited; so limits() ends all limits.\n\n"
    "Code that goes over is interrupted by LimitExceeded, and the threads\n"
    "that it has started are, too; the caller gets ExecutionInterrupted, with "
    "it\n"
    "as the cause.  Nothing else is hit.  A call that runs keeps the limits\n"
    "that it began with.\n\n"
    "Returns a Limits: in a with block all calls together have one budget,\n"
    "and afterwards the limits are what they were before; its exec, call and\n"
    "call_in_thread are those of the interpreter:\n\n"
    "    interp.limits(cpu_seconds=2).call(f)\n\n"
    "Raises ValueError and TypeError for what is no number of 0 or more;\n"
    "InterpreterError for the main interpreter, one's own, and if memory\n"
    "cannot be tracked; InterpreterNotFoundError.");

PyDoc_STRVAR(
    stats_doc,
    "stats($self)\n--\n\n"
    "What the interpreter is doing and has used, as a dict.\n\n"
    "id, name, state ('idle', 'running', 'closing', 'closed');\n"
    "uptime_seconds (since atoll has known it), cpu_seconds (of its calls "
    "and\n"
    "of the threads that live there now), busy_share (0.0 to 1.0: the part\n"
    "of the time in which a call ran); calls, exceptions (calls that ended "
    "by\n"
    "one); messages_in, messages_out, bytes_in, bytes_out (everything that\n"
    "crossed: arguments, results, items of queues); allocated_blocks\n"
    "(pymalloc's), threads, views_held (views of its memory elsewhere);\n"
    "memory_bytes (None unless track_memory() was called).\n\n"
    "allocated_blocks and threads are None where C code keeps the\n"
    "interpreter's GIL.  Works on a closed interpreter, too.");

PyDoc_STRVAR(
    stacks_doc,
    "stacks($self)\n--\n\n"
    "What every thread in the interpreter is doing now: a list of\n"
    "ThreadStack(ident, native_id, name, daemon, in_call, frames), where\n"
    "frames is a traceback.StackSummary, the innermost frame last, and str()\n"
    "of each is its stack as text.\n\n"
    "Raises InterpreterNotFoundError if it is closed, InterpreterError if C\n"
    "code keeps its GIL, so that there is nothing to be read.");

PyDoc_STRVAR(
    call_in_thread_doc,
    "call_in_thread($self, callable, /, *args, **kwargs)\n--\n\n"
    "Call the callable in the interpreter in a new thread, and return the\n"
    "started threading.Thread.\n\n"
    "The thread has a future (concurrent.futures.Future) and interrupt().\n"
    "An error that nobody asks for reaches threading.excepthook.");

PyDoc_STRVAR(
    options_doc,
    "options($self, /, *, timeout=None)\n--\n\n"
    "Return a view of the interpreter with exec, call and call_in_thread\n"
    "under a deadline of timeout seconds: interp.options(timeout=2).call(f).\n"
    "Past it, ExecutionTimeout is raised.");

PyDoc_STRVAR(
    interrupt_doc,
    "interrupt($self, /, exc=None)\n--\n\n"
    "Raise exc in what runs in the interpreter now; return whether\n"
    "something did.\n\n"
    "exc: an exception class, or an instance that can cross; None:\n"
    "Interrupted.\n\n"
    "Python code and every wait of atoll's stop within 100 ms; a blocking C\n"
    "call when it returns.");

PyDoc_STRVAR(
    add_close_callback_doc,
    "add_close_callback($self, fn, /)\n--\n\n"
    "Call fn(interp) once, when the interpreter has been closed, whoever "
    "does\n"
    "it; at once if it is closed already.\n\n"
    "fn runs in the interpreter that has added it, in the thread that "
    "closes,\n"
    "before close() returns there.  Callbacks run in the order in which they\n"
    "were added.  An Exception goes to sys.unraisablehook.  A callback "
    "neither\n"
    "keeps the interpreter open nor outlives the one that has added it.\n\n"
    "Raises InterpreterError for the main interpreter and for the caller's "
    "own:\n"
    "atexit is for those.");

PyDoc_STRVAR(get_current_doc,
             "get_current()\n--\n\nReturn the interpreter that runs this.");

PyDoc_STRVAR(get_main_doc,
             "get_main()\n--\n\nReturn the process's main interpreter.");

PyDoc_STRVAR(
    is_shareable_doc,
    "is_shareable(obj, /)\n--\n\n"
    "Return whether the standard module would pass obj without pickling it,\n"
    "or atoll passes it by reference.  More than that crosses: see 'What\n"
    "crosses'.");

PyDoc_STRVAR(
    list_all_doc,
    "list_all()\n--\n\n"
    "Return all live interpreters, oldest first, those that others made\n"
    "included.");

#endif
