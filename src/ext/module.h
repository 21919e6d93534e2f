/* The parts of atoll._core, one line each; module.c has their order. */
#ifndef ATOLL_EXT_MODULE_H
#define ATOLL_EXT_MODULE_H

#include "state.h"

extern const ext_part ext_errors_part;      /* errors.c */
extern const ext_part ext_attach_part;      /* attach.c */
extern const ext_part ext_transfer_part;    /* encode.c, decode.c */
extern const ext_part ext_function_part;    /* function.c */
extern const ext_part ext_interpreter_part; /* interpreter.c */
extern const ext_part ext_run_part;         /* run.c */
extern const ext_part ext_output_part;      /* output.c */
extern const ext_part ext_interrupt_part;   /* interrupt.c */
extern const ext_part ext_call_part;        /* call_type.c */
extern const ext_part ext_preload_part;     /* preload.c */
extern const ext_part ext_frames_part;      /* frames.c */
extern const ext_part ext_lifecycle_part;   /* lifecycle.c */
extern const ext_part ext_queue_part;       /* queue_type.c */
extern const ext_part ext_buffer_part;      /* buffer_type.c */
extern const ext_part ext_sync_part;        /* sync_type.c */
extern const ext_part ext_pool_part;        /* pool_type.c */
extern const ext_part ext_inspect_part;     /* inspect.c */
extern const ext_part ext_closing_part;     /* close_callback.c */
extern const ext_part ext_testing_part;     /* testing.c */
extern const ext_part ext_limits_part;      /* limits_type.c */

#endif
