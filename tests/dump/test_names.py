"""Names of functions, spelled as `tecken-dump` writes them."""

from __future__ import annotations

import pytest

from tecken.dump.names import demangle, is_mangled, strip_part, strip_return_type


@pytest.mark.parametrize(
    ("mangled", "readable"),
    [
        ("_ZN5store4Page4readERKSsi", "store::Page::read(std::string const&, int)"),
        ("__ZN5store4Page5writeEv", "store::Page::write()"),
        ("_ZN5store4Page5writeEv.part.0.cold", "store::Page::write()"),
        ("_Z3getIiET_v", "get<int>()"),
        ("_Z3getISt6vectorIS0_IiEEEvv", "get<std::vector<std::vector<int> > >()"),
        ("_Z3fooILm128EEvv", "foo<(unsigned long)128>()"),
        ("_Z3fooILi128EEvv", "foo<128>()"),
        ("_ZZ1fvENKUliE_clEi", "f()::{lambda(int)#1}::operator()(int) const"),
        ("_ZZ1fvENKUlvE0_clEv", "f()::{lambda()#2}::operator()() const"),
        ("_ZThn8_N1AD1Ev", "{virtual override thunk({offset(-8)}, A::~A())}"),
        ("_ZNK1AcvbEv", "A::operator bool() const"),
        ("_ZN1AlsIiEERS_T_", "A::operator<< <int>(int)"),
        ("_ZN12_GLOBAL__N_11fEv", "(anonymous namespace)::f()"),
        ("_ZN4core3ptr42drop_in_place$LT$alloc..string..String$GT$17h0123456789abcdefE",
         "core::ptr::drop_in_place<alloc::string::String>"),
        ("_ZN48_$LT$std..io..Stdin$u20$as$u20$std..io..Read$GT$4read17h0123456789abcdefE",
         "<std::io::Stdin as std::io::Read>::read"),
        ("_RNvCsb4v8Kh8PWn2_7mycrate3foo", "mycrate::foo"),
        ("?read@Page@store@@QEAAHH@Z", "store::Page::read(int)"),
        ("?write@@YAXPEAVPage@@@Z", "write(Page *)"),
        ("_ZN6broken", "_ZN6broken"),
        ("_ZN\udcff", "_ZN\udcff"),
    ],
)  # fmt: skip
def test_demangle_name_has_the_spelling_of_dump_syms(mangled: str, readable: str) -> None:
    assert demangle(mangled) == readable


@pytest.mark.parametrize(
    ("readable", "expected"),
    [
        ("f(int)", "f(int)"),
        ("int f<int>(int)", "f<int>(int)"),
        ("std::map<int, char> A::f<int>(int) const", "A::f<int>(int) const"),
        ("unsigned long f<int>()", "f<int>()"),
        ("(anonymous namespace)::A f<int>()", "f<int>()"),
        ("bool operator==<int>(A<int> const&)", "operator==<int>(A<int> const&)"),
        ("A::operator unsigned long() const", "A::operator unsigned long() const"),
        ("operator new(unsigned long)", "operator new(unsigned long)"),
    ],
)
def test_strip_return_type_keeps_name_and_parameters(readable: str, expected: str) -> None:
    assert strip_return_type(readable) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [(b"main", b"main"), (b"main.cold", b"main"), (b"f.part.0.cold", b"f"), (b"_Z1fv.cold", b"_Z1fv.cold")],
)  # fmt: skip
def test_strip_part_leaves_the_name_of_the_function(name: bytes, expected: bytes) -> None:
    assert strip_part(name) == expected


@pytest.mark.parametrize("name", [b"f", b"i", b"main", b"_start", b"Z1fv", b"_Z" + b"1" * 4096])
def test_is_mangled_other_and_long_names_are_not(name: bytes) -> None:
    assert not is_mangled(name)
