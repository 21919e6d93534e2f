/* Not written yet. */
#include "transfer.h"
