// What scalar_code.py writes in terms of: numbers F, integers I and truth values M, one for each of LANES environments.
// One lane is plain C++ and serves a GPU's threads; more are GCC's and Clang's vector types. n environments, e the first
// of these lanes. In arrays the batch is last, [k, n], or first, [n, k].
#ifdef DOUBLE
#define REAL double
#define TRUTH int64_t
#define EXP exp
#define LOG log
#define TANH tanh
#define SQRT sqrt
#else
#define REAL float
#define TRUTH int32_t
#define EXP expf
#define LOG logf
#define TANH tanhf
#define SQRT sqrtf
#endif
#define BIG 88.0f     // above it expf would overflow
#define SMALL -87.3f  // below it expf gives no normal number
#if LANES == 1
typedef REAL F;
typedef int64_t I;
typedef bool M;
#define F_(x) ((REAL)(x))
#define I_(x) ((I)(x))
#define M_(x) (x)
#define get_last(a, k) ((a)[(size_t)(k) * n + e])
#define get_first(a, k, total, slot) ((a)[(size_t)e * (total) + (k)])
#define put_last(a, k, x) ((a)[(size_t)(k) * n + e] = (x))
#define put_first(a, k, total, slot, x) ((a)[(size_t)e * (total) + (k)] = (x))
#define ROW(name, table, index, columns) const REAL* name = (table) + (index) * (columns)
#define cell(r, column, slot) ((r)[column])
INLINE F keep(F x) { return x; }
INLINE F keep(M x) { return x; }
INLINE F back_float(F x) { return x; }
INLINE M back_bool(F x) { return x != 0; }
#ifdef __CUDACC__
INLINE F f_exp(F x) { return __expf(x); }  // of the hardware, as its quotient: a few units in the last place
INLINE F f_div(F a, F b) { return __fdividef(a, b); }
#else
INLINE F f_exp(F x) { return EXP(x); }
INLINE F f_div(F a, F b) { return a / b; }
#endif
INLINE F f_log(F x) { return LOG(x); }
INLINE F f_tanh(F x) { return TANH(x); }
INLINE F f_sqrt(F x) { return SQRT(x); }
INLINE F f_int_to_float(I x) { return (F)x; }
INLINE F f_bool_to_float(M x) { return x; }
INLINE M f_and(M a, M b) { return a && b; }
INLINE M f_not(M a) { return !a; }
#define COMPARE(name, op) \
  INLINE M name(F a, F b) { return a op b; } \
  INLINE M name(I a, I b) { return a op b; }
#else
typedef REAL F __attribute__((vector_size(sizeof(REAL) * LANES)));
typedef REAL Unaligned __attribute__((vector_size(sizeof(REAL) * LANES), aligned(sizeof(REAL))));
typedef TRUTH M __attribute__((vector_size(sizeof(REAL) * LANES)));
typedef int64_t I __attribute__((vector_size(8 * LANES)));
typedef int64_t UnalignedI __attribute__((vector_size(8 * LANES), aligned(8)));
#define F_(x) ((F){} + (REAL)(x))
#define I_(x) ((I){} + (int64_t)(x))
#define M_(x) ((x) ? ~(M){} : (M){})
INLINE F wide(const REAL* a) { return *(const Unaligned*)a; }
INLINE I wide(const int64_t* a) { return *(const UnalignedI*)a; }
INLINE void spread(REAL* a, F x) { *(Unaligned*)a = x; }
INLINE void spread(int64_t* a, I x) { *(UnalignedI*)a = x; }
INLINE void spread(bool* a, M x) { for (int l = 0; l < LANES; l++) a[l] = x[l] != 0; }
#define get_last(a, k) wide((a) + (size_t)(k) * n + e)
#define put_last(a, k, x) spread((a) + (size_t)(k) * n + e, x)
// Rows and batch-first arrays are turned in small loops, from and to slots.
#define TURN_ROW(table, index, columns, slot) take_rows(s + (slot), table, index, columns)
#define TURN(a, total, slot) take(s + (slot), (a) + (size_t)e * (total), total)
#define TURN_BACK(a, total, slot) give((a) + (size_t)e * (total), s + (slot), total)
#define ROW(name, table, index, columns)
#define get_first(a, k, total, slot) s[slot]
#define put_first(a, k, total, slot, x) (s[slot] = (x))
#define cell(r, column, slot) s[slot]
INLINE void take(F* to, const REAL* from, int total) {
  for (int l = 0; l < LANES; l++, from += total)
    for (int k = 0; k < total; k++) to[k][l] = from[k];
}
INLINE void take_rows(F* to, const REAL* table, I index, int columns) {
  for (int l = 0; l < LANES; l++)
    for (int k = 0; k < columns; k++) to[k][l] = table[index[l] * columns + k];
}
INLINE void give(REAL* to, const F* from, int total) {
  for (int l = 0; l < LANES; l++, to += total)
    for (int k = 0; k < total; k++) to[k] = from[k][l];
}
INLINE F keep(F x) { return x; }
INLINE F keep(M x) { return (F)x; }
INLINE F back_float(F x) { return x; }
INLINE M back_bool(F x) { return (M)x; }
#ifdef DOUBLE
INLINE F f_exp(F x) { for (int l = 0; l < LANES; l++) x[l] = EXP(x[l]); return x; }
#else
// Cephes' expf (Moshier, public domain): e^x = 2^n e^r with |r| <= ln(2)/2, a polynomial in r; two units in the last place
INLINE F f_exp(F x) {
  x = x < F_(BIG) ? x : F_(BIG);
  x = x > F_(SMALL) ? x : F_(SMALL);
  F z = x * 1.44269504088896341f;
  M whole = __builtin_convertvector(z + (z < F_(0.0f) ? F_(-0.5f) : F_(0.5f)), M);
  F n = __builtin_convertvector(whole, F);
  x = x - n * 0.693359375f + n * 2.12194440e-4f;
  F y = F_(1.9875691500e-4f);
  y = y * x + 1.3981999507e-3f;
  y = y * x + 8.3334519073e-3f;
  y = y * x + 4.1665795894e-2f;
  y = y * x + 1.6666665459e-1f;
  y = y * x + 5.0000001201e-1f;
  return (y * x * x + x + 1.0f) * (F)((whole + 127) << 23);
}
#endif
INLINE F f_div(F a, F b) { return a / b; }
INLINE F f_log(F x) { for (int l = 0; l < LANES; l++) x[l] = LOG(x[l]); return x; }
INLINE F f_sqrt(F x) { for (int l = 0; l < LANES; l++) x[l] = SQRT(x[l]); return x; }
INLINE F f_tanh(F x) { for (int l = 0; l < LANES; l++) x[l] = TANH(x[l]); return x; }
INLINE F f_int_to_float(I x) { return __builtin_convertvector(x, F); }
INLINE F f_bool_to_float(M x) { return x ? F_(1) : F_(0); }
INLINE M f_and(M a, M b) { return a & b; }
INLINE M f_not(M a) { return ~a; }
#define COMPARE(name, op) \
  INLINE M name(F a, F b) { return a op b; } \
  INLINE M name(I a, I b) { return __builtin_convertvector(a op b, M); }
#endif
COMPARE(f_lt, <)
COMPARE(f_le, <=)
COMPARE(f_gt, >)
COMPARE(f_ge, >=)
COMPARE(f_eq, ==)
COMPARE(f_ne, !=)
INLINE F f_neg(F x) { return -x; }
#ifdef __CUDACC__
INLINE F f_min(F a, F b) { return fminf(a, b); }  // one instruction
INLINE F f_max(F a, F b) { return fmaxf(a, b); }
#else
INLINE F f_min(F a, F b) { return a < b ? a : b; }
INLINE F f_max(F a, F b) { return a > b ? a : b; }
#endif
INLINE F f_where(M mask, F a, F b) { return mask ? a : b; }
INLINE F f_sigmoid(F x) { return f_div(F_(1), F_(1) + f_exp(-x)); }
