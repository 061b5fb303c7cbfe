/* Functions with the names that compilers give them, one instruction each. */
.macro function name
    .globl "\name"
    .type "\name", @function
"\name":
    ret
    .size "\name", 1
.endm
.text
function plain_c
function _ZN5store4Page4readERKSsi
function _ZN5store4Page5writeEv.cold
function _ZN4core3ptr42drop_in_place$LT$alloc..string..String$GT$17h0123456789abcdefE
function _RNvCsb4v8Kh8PWn2_7mycrate3foo
function ?read@Page@store@@QEAAHH@Z
function _Z1f1AIiiES_IS0_S0_ES_IS1_S1_ES_IS2_S2_ES_IS3_S3_ES_IS4_S4_ES_IS5_S5_ES_IS6_S6_ES_IS7_S7_ES_IS8_S8_ES_IS9_S9_ES_ISA_SA_ES_ISB_SB_E
function _ZN6broken
.section .note.GNU-stack, "", @progbits
