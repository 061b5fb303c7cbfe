/* Calls in calls that the compiler inlines, for the readers of DWARF. */
#include "inlines.h"

extern volatile int prices[];
volatile int prices[4];

static inline __attribute__((always_inline)) int price(int number)
{
    return add_tax(prices[number & 3]) + number;
}

int total(int count)
{
    int sum = 0;
    for (int number = 0; number < count; number++) {
        sum += price(number);
    }
    return sum;
}
