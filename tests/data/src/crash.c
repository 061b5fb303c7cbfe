/* The program: sorts a few orders by what each customer pays, and dies on the way, three libraries deep. */
#include <stdio.h>
#include <stdlib.h>

struct order {
    const char *name;
    long pence;
    long people;
};

long crash_cpp_price(long pence, long people);

static inline long per_person(const struct order *order)
{
    return crash_cpp_price(order->pence, order->people);
}

static inline int sign(long difference)
{
    return difference < 0 ? -1 : difference > 0;
}

static int by_price(const void *left, const void *right)
{
    return sign(per_person(left) - per_person(right));
}

static inline void print_order(const struct order *order)
{
    printf("%-8s %6ld\n", order->name, per_person(order));
}

static inline void print_all(const struct order *orders, size_t count)
{
    for (size_t i = 0; i < count; i++)
        print_order(&orders[i]);
}

/* The same code under a second name: dump_syms -m marks such a function. */
__attribute__((noinline)) void crash_report(struct order *orders, size_t count)
{
    qsort(orders, count, sizeof *orders, by_price);
    print_all(orders, count);
}
void crash_summary(struct order *orders, size_t count) __attribute__((alias("crash_report")));

static inline void read_and_report(void)
{
    struct order orders[] = {{"Ada", 1250, 2}, {"Grace", 990, 3}, {"Nobody", 700, 0}};
    crash_report(orders, sizeof orders / sizeof *orders);
    puts("done");
}

int main(void)
{
    read_and_report();
    return 0;
}
