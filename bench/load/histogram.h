/* A histogram of microseconds: 64 buckets an octave, so that a bucket is within 1.6 %. */

#define SUB 64
#define OCTAVES 32
static uint64_t buckets[OCTAVES * SUB], late_us_max;

static unsigned bucket_of(uint64_t us) {
  if (us < SUB) return (unsigned)us;
  int octave = 63 - __builtin_clzll(us);
  unsigned at = (unsigned)((octave - 5) * SUB + (us >> (octave - 6)) - SUB);
  return at < OCTAVES * SUB ? at : OCTAVES * SUB - 1;
}

static uint64_t value_of(unsigned bucket) {
  if (bucket < SUB) return bucket;
  unsigned octave = bucket / SUB + 5, within = bucket % SUB;
  return (uint64_t)(SUB + within) << (octave - 6);
}

static uint64_t quantile(double q) {
  uint64_t wanted = (uint64_t)(q * (double)messages), seen = 0;
  for (unsigned i = 0; i < OCTAVES * SUB; i++) {
    seen += buckets[i];
    if (seen > wanted) return value_of(i);
  }
  return late_us_max;
}
