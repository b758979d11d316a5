/* Memory for jansson's values.
 *
 * A request becomes dozens of blocks of a few sizes, which are all freed
 * before the next comes: more than the C library's cache for a thread keeps,
 * so that they would take its slow path.  Here each thread keeps a number of
 * free blocks per size.  What a huge message had goes back to the library. */
#include <config.h>
#include "mgmt/db/json.h"

#include <stdlib.h>

#include "util.h"

enum {
    SIZE_STEP = 16,             /* Bytes between sizes. */
    N_SIZES = 10,               /* Larger blocks are not kept. */
    MAX_FREE = 256              /* Blocks kept of a size. */
};

/* What precedes each block, and what a free one contains. */
struct block {
    uint64_t size_class;        /* N_SIZES: not kept.  Its size has what
                                 * follows aligned for any member. */
    struct block *next;         /* In the list of free ones. */
};

struct free_list {
    struct block *first;
    unsigned int n;
};

static __thread struct free_list free_lists[N_SIZES];

static void *
pool_malloc(size_t size)
{
    size_t size_class = MIN(DIV_ROUND_UP(size, SIZE_STEP), N_SIZES);
    struct free_list *list = &free_lists[size_class];
    struct block *b;

    if (size_class < N_SIZES && list->first) {
        b = list->first;
        list->first = b->next;
        list->n--;
    } else {
        b = malloc(offsetof(struct block, next)
                   + (size_class < N_SIZES ? MAX(size_class, 1) * SIZE_STEP
                      : size));
        if (!b) {
            return NULL;
        }
        b->size_class = size_class;
    }
    return &b->next;
}

static void
pool_free(void *p)
{
    struct free_list *list;
    struct block *b;

    if (!p) {
        return;
    }
    b = CONTAINER_OF(p, struct block, next);
    list = &free_lists[b->size_class];
    if (b->size_class < N_SIZES && list->n < MAX_FREE) {
        b->next = list->first;
        list->first = b;
        list->n++;
    } else {
        free(b);
    }
}

/* Has jansson use the pool.  To be called before anything else of it. */
void
json_use_pool(void)
{
    json_set_alloc_funcs(pool_malloc, pool_free);
}
