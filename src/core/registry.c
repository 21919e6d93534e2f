/* Not written yet. */
#include "registry.h"

atoll_status
atoll_registry_open(void)
{
    return ATOLL_OK;
}

atoll_status
atoll_registry_adopt(int64_t id, void *handle, atoll_interp **out_interp)
{
    atoll_interp *interp = atoll_calloc(1, sizeof(*interp));
    if (interp == NULL) {
        return ATOLL_E_NOMEM;
    }
    interp->id = id;
    interp->handle = handle;
    *out_interp = interp;
    return ATOLL_OK;
}

void
atoll_interp_release(atoll_interp *interp)
{
    (void)interp;
}
