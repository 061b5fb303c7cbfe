// A price passes through stages; each stage inlines the next, so that one address has a long chain of calls.
#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <string>

extern "C" long crash_rs_share(long pence, long people);

namespace shop {

struct Price {
    long pence;
    long people;
};

template <long Percent>
struct Discount {
    Price operator()(Price price) const { return {price.pence - price.pence * Percent / 100, price.people}; }
};

struct Delivery {
    Price operator()(Price price) const { return {price.pence + 250, price.people}; }
};

struct Share {
    Price operator()(Price price) const { return {crash_rs_share(price.pence, price.people) + 1, price.people}; }
};

template <typename... Stages>
struct Pipeline;

template <>
struct Pipeline<> {
    Price run(Price price) const { return price; }
};

template <typename First, typename... Rest>
struct Pipeline<First, Rest...> {
    First first;
    Pipeline<Rest...> rest;
    Price run(Price price) const { return rest.run(first(price)); }
};

std::string label(const Price &price)
{
    return std::to_string(price.pence) + " for " + std::to_string(price.people);
}

long cheapest(const std::array<long, 4> &prices)
{
    std::array<long, 4> sorted = prices;
    std::sort(sorted.begin(), sorted.end(), std::greater<long>());
    return std::accumulate(sorted.begin(), sorted.end(), sorted.back());
}

}  // namespace shop

extern "C" long crash_cpp_price(long pence, long people)
{
    using namespace shop;
    Pipeline<Delivery, Discount<10>, Discount<5>, Share, Discount<1>> pipeline;
    return pipeline.run({pence, people}).pence;
}

extern "C" long crash_cpp_cheapest(long pence)
{
    return shop::cheapest({pence, pence / 2, pence / 3, static_cast<long>(shop::label({pence, 1}).size())});
}
