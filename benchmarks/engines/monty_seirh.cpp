// SEIRH in a bare loop over particles with the binomial sampler of monty (https://github.com/mrc-ide/monty), which
// is the one inside dust2. usage: monty_seirh PARTICLES SEED; numbers.h has the model.
// Prints the CPU seconds, then final size and highest weekly admissions of each particle.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include <monty/random/random.hpp>

#include "numbers.h"  // GROUPS, DAYS, SIZES, INFECTIOUS, TRANSMISSION, and the four rates [1/day]

using generator = monty::random::xoshiro256plus;

static double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

struct Outcome {
  double final_size, peak;
};

static Outcome simulate(generator& state) {
  using monty::random::binomial;
  double susceptible[GROUPS], exposed[GROUPS] = {}, ill[GROUPS], ward[GROUPS] = {};
  double final_size = 0, peak = 0, admissions = 0;
  const double onset = -std::expm1(-E_TO_I), discharge = -std::expm1(-H_TO_R);
  const double ending = -std::expm1(-(I_TO_R + I_TO_H)), severe = I_TO_H / (I_TO_R + I_TO_H);
  for (int a = 0; a < GROUPS; ++a) {
    ill[a] = INFECTIOUS[a];
    susceptible[a] = SIZES[a] - INFECTIOUS[a];
  }
  for (int day = 0; day < DAYS; ++day) {
    double hazard[GROUPS];
    for (int a = 0; a < GROUPS; ++a) {
      hazard[a] = 0;
      for (int b = 0; b < GROUPS; ++b) hazard[a] += TRANSMISSION[a * GROUPS + b] * ill[b];
    }
    for (int a = 0; a < GROUPS; ++a) {
      const double infected = binomial<double>(state, susceptible[a], -std::expm1(-hazard[a]));
      const double falling_ill = binomial<double>(state, exposed[a], onset);
      const double leaving = binomial<double>(state, ill[a], ending);
      const double admitted = binomial<double>(state, leaving, severe);
      const double discharged = binomial<double>(state, ward[a], discharge);
      susceptible[a] -= infected;
      exposed[a] += infected - falling_ill;
      ill[a] += falling_ill - leaving;
      ward[a] += admitted - discharged;
      final_size += infected;
      admissions += admitted;
    }
    if (day % 7 == 6 || day == DAYS - 1) {
      peak = std::max(peak, admissions);
      admissions = 0;
    }
  }
  return {final_size, peak};
}

int main(int, char** argv) {
  const long particles = std::atol(argv[1]);
  monty::random::prng<generator> streams(1, std::atoi(argv[2]));
  std::vector<Outcome> outcomes(particles);
  const double started = cpu_seconds();
  for (auto& each : outcomes) each = simulate(streams.state(0));
  std::printf("%.6f\n", cpu_seconds() - started);
  for (const auto& each : outcomes) std::printf("%.0f %.0f\n", each.final_size, each.peak);
}
