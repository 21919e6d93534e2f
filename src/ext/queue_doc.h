/* Docstrings of queue_type.c, apart so that the code stays readable. */
#ifndef ATOLL_EXT_QUEUE_DOC_H
#define ATOLL_EXT_QUEUE_DOC_H

#include "compat.h"

PyDoc_STRVAR(
    Queue_doc,
    "Queue(id, /)\n--\n\n"
    "The queue with that id; create_queue() makes one.\n\n"
    "A queue is shared by the whole process: first in, first out, between\n"
    "all interpreters and threads.  Who waits sleeps, and is woken at once,\n"
    "the longest waiting first.  There is one Queue object per id in each\n"
    "interpreter; it is hashable, can be pickled and sent.\n\n"
    "A queue lives while an interpreter has an object of it, while it is on\n"
    "its way to one, and while it is an item of a queue that lives.  Queues\n"
    "that are items of each other, or of themselves, go as well once nobody\n"
    "else has them.  A queue that lies in itself inside a function or class\n"
    "sent by value (in its closure, say) does not: that item keeps it until\n"
    "it is taken or dropped by shutdown(immediate=True).\n\n"
    "Raises QueueNotFoundError if there is no such queue.");

PyDoc_STRVAR(
    put_doc,
    "put($self, /, obj, block=True, timeout=None, *, unbounditems=None)\n"
    "--\n\n"
    "Put a copy of obj at the end.\n\n"
    "block: wait while the queue is full, up to timeout seconds (None: for\n"
    "ever).  unbounditems: what becomes of the item when this interpreter\n"
    "ends: UNBOUND replaces it, UNBOUND_ERROR makes get() raise\n"
    "ItemInterpreterDestroyed for it, UNBOUND_REMOVE removes it; None is the\n"
    "queue's own policy, or, if it has none, that the item stays.\n\n"
    "Raises QueueFull, QueueShutDown, and NotShareableError for what cannot\n"
    "cross; the queue is then unchanged.");

PyDoc_STRVAR(put_nowait_doc,
             "put_nowait($self, /, obj, *, unbounditems=None)\n--\n\n"
             "put(obj, block=False).");

PyDoc_STRVAR(
    get_doc,
    "get($self, /, block=True, timeout=None)\n--\n\n"
    "Take the first item.\n\n"
    "block: wait while the queue is empty, up to timeout seconds (None: for\n"
    "ever).\n\n"
    "Raises QueueEmpty; QueueShutDown when the queue was shut down and is\n"
    "empty; ItemInterpreterDestroyed, see put(); QueueItemError for an item\n"
    "that cannot be rebuilt in this interpreter, which it keeps.");

PyDoc_STRVAR(get_nowait_doc, "get_nowait($self, /)\n--\n\n"
                             "get(block=False).");

PyDoc_STRVAR(
    put_many_doc,
    "put_many($self, /, iterable, timeout=None)\n--\n\n"
    "Put all of them at the end, in order, and return how many.\n\n"
    "Everything is encoded first: if something cannot cross, nothing is put.\n"
    "Waits for room up to timeout seconds in all (None: for ever).  Items of\n"
    "others may come in between.\n\n"
    "Raises what put() raises; the exception's attribute items_put then\n"
    "tells how many were put.");

PyDoc_STRVAR(
    get_many_doc,
    "get_many($self, /, n, timeout=None)\n--\n\n"
    "Take the first items, at least one and at most n, as a list.\n\n"
    "Waits for the first one up to timeout seconds (None: for ever), and for\n"
    "no other.  An item that get() would raise for ends the list before it;\n"
    "only where it is the first is it raised.");

PyDoc_STRVAR(qsize_doc, "qsize($self, /)\n--\n\n"
                        "Return how many items there are now.");
PyDoc_STRVAR(empty_doc, "empty($self, /)\n--\n\n"
                        "Return whether there is no item now.");
PyDoc_STRVAR(full_doc, "full($self, /)\n--\n\n"
                       "Return whether there is no room now.");

PyDoc_STRVAR(
    shutdown_doc,
    "shutdown($self, /, immediate=False)\n--\n\n"
    "Let nothing more in: every put() raises QueueShutDown, waiting ones\n"
    "too, and so does get() once the queue is empty.\n\n"
    "immediate: drop what is in as well; the items count as done.");

PyDoc_STRVAR(task_done_doc,
             "task_done($self, /)\n--\n\n"
             "Say that an item that was got has been dealt with.\n\n"
             "Raises ValueError if more are done than were put.");

PyDoc_STRVAR(join_doc, "join($self, /)\n--\n\n"
                       "Wait until every item that was put is done.");

PyDoc_STRVAR(aget_doc,
             "aget($self, /)\n--\n\n"
             "Take the first item: get() for asyncio, a coroutine.\n\n"
             "No thread is used.  Cancelling it loses no item.");

PyDoc_STRVAR(
    aput_doc,
    "aput($self, /, obj)\n--\n\n"
    "Put a copy of obj at the end: put() for asyncio, a coroutine.\n\n"
    "No thread is used.  If it is cancelled, obj has not been put, unless\n"
    "somebody has got it in that very moment.");

PyDoc_STRVAR(class_getitem_doc,
             "Queue[T]: a queue of items of the type T, for type checkers.");

PyDoc_STRVAR(
    create_queue_doc,
    "create_queue($module, /, maxsize=0, *, unbounditems=None)\n--\n\n"
    "Return a new queue.\n\n"
    "maxsize: how many items fit in; 0 and below: any number.\n"
    "unbounditems: the policy of puts that name none, see Queue.put().\n"
    "None: an item outlives the interpreter that put it.");

PyDoc_STRVAR(
    wait_doc,
    "wait($module, /, queues, timeout=None)\n--\n\n"
    "Wait until at least one of the queues is ready: get() would not wait.\n\n"
    "Returns the list of those that are ready: that have an item, or were\n"
    "shut down; an empty one after timeout seconds (None: never; negative:\n"
    "as 0).  Nothing is reserved: somebody else may take the item first.");

#endif
