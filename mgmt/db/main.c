/* sluice-db. */
#include <config.h>
#include "util.h"

int
main(int argc, char *argv[])
{
    set_program_name(argv[0]);
    return argc > 1;
}
