// The preprocessing of tgkt-edge in C++17 without any library: raw frame -> network input, bit for bit as the package
// computes it. The rules, one by one, are in docs/preprocessing.md; the numbers in comments are those of that page.
//
//   g++ -std=c++17 -O2 -ffp-contract=off preprocess.cpp -o preprocess
//   ./preprocess frame.pgm 224 0.001 0.0 8.0 0 > tensor.f32      (SIZE UNIT LOW HIGH INVALID...; sunrgbd: its encoding)
//   ./preprocess frame.pfm 224 1 0.0 8.0 > tensor.f32            (float32 frames; any INVALID beside NaN, infinite, <= 0)
//   ./preprocess lepton.pgm 224 0.01 10 40 0 thermal=0           (UNIT is unit_k; thermal=OFFSET_K)
//   ./preprocess stereo.pgm 224 0.0039 0 80 0 disparity=0.54,721,0   (UNIT is unit_px; BASELINE_M,FOCAL_PX,OFFSET_PX)
//
// -ffp-contract=off: a fused multiply-add rounds once where OpenCV on x86 rounds twice. UNIT is unit_m of a depth sensor
// and 1 of a NIR sensor; LOW and HIGH are near_m and far_m, black and white, or cold_c and hot_c.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

struct Sensor {
    double unit = 1.0, low = 0.0, high = 1.0;
    double offset = 0.0, baseline = 0.0, focal = 0.0;  // offset_k or offset_px; baseline_m and focal_px
    std::vector<double> invalid;
    bool sunrgbd = false, thermal = false, disparity = false;  // sunrgbd: 16 bits rotated left by 3
    bool floating = false;  // dtype float32 or float16
};

// 2: metres, counts or degrees Celsius of one raw number, and whether it is a measurement.
struct Measured {
    double value;
    bool valid;
};

Measured measure(double raw, const Sensor& sensor) {
    bool valid = std::find(sensor.invalid.begin(), sensor.invalid.end(), raw) == sensor.invalid.end();
    if (sensor.floating) valid = valid && std::isfinite(raw) && (sensor.thermal || raw > 0);
    if (sensor.sunrgbd) {
        const uint16_t bits = static_cast<uint16_t>(raw);
        return {static_cast<uint16_t>((bits >> 3) | (bits << 13)) * sensor.unit, valid};
    }
    double value = raw * sensor.unit;
    if (sensor.disparity || sensor.thermal) valid = valid && value + sensor.offset > 0;
    if (sensor.disparity) value = sensor.baseline * sensor.focal / (value + sensor.offset);
    if (sensor.thermal) value = value + sensor.offset - 273.15;
    return {value, valid};
}

struct Image {
    int rows = 0, columns = 0;
    std::vector<float> at;
    Image(int r, int c) : rows(r), columns(c), at(static_cast<size_t>(r) * c, 0.0f) {}
    float& operator()(int y, int x) { return at[static_cast<size_t>(y) * columns + x]; }
    float operator()(int y, int x) const { return at[static_cast<size_t>(y) * columns + x]; }
};

struct Tap {
    int from;
    float weight;
};

// For each output pixel the input pixels below it and the share of it that each covers (it shrinks), or its two
// neighbours (it grows).
std::vector<std::vector<Tap>> taps(int length, int size) {
    std::vector<std::vector<Tap>> all(size);
    const double ratio = static_cast<double>(size) / length, scale = 1.0 / ratio;
    for (int i = 0; i < size; ++i) {
        const double first = i * scale;
        if (size <= length) {
            const double last = std::min(first + scale, static_cast<double>(length));
            const double width = std::min(scale, length - first);
            for (int from = static_cast<int>(std::floor(first + 1e-3)); from < length && from < last; ++from) {
                const double covered = std::min(from + 1.0, last) - std::max<double>(from, first);
                if (covered > 1e-3) all[i].push_back({from, static_cast<float>(covered / width)});
            }
        } else {
            const int left = static_cast<int>(std::floor(first));
            float part = static_cast<float>((i + 1) - (left + 1) * ratio);
            part = part <= 0 || left >= length - 1 ? 0.0f : part - std::floor(part);
            all[i] = {{std::min(left, length - 1), 1.0f - part}, {std::min(left + 1, length - 1), part}};
        }
    }
    return all;
}

// Rows and columns both shrink or both grow.
Image area_once(const Image& in, int rows, int columns) {
    Image out(rows, columns);
    const int down = in.rows / rows, across = in.columns / columns;
    if (down >= 1 && across >= 1 && 1.0 / (static_cast<double>(rows) / in.rows) == down &&
        1.0 / (static_cast<double>(columns) / in.columns) == across) {  // whole factors: plain sums, four at a time
        const int count = down * across;
        const auto term = [&](int y, int x, int k) { return in(y * down + k / across, x * across + k % across); };
        for (int y = 0; y < rows; ++y)
            for (int x = 0; x < columns; ++x) {
                float total = 0.0f;
                int k = 0;
                for (; k + 4 <= count; k += 4)
                    total += term(y, x, k) + term(y, x, k + 1) + term(y, x, k + 2) + term(y, x, k + 3);
                for (; k < count; ++k) total += term(y, x, k);
                out(y, x) = total * (1.0f / static_cast<float>(count));
            }
        return out;
    }
    const auto across_taps = taps(in.columns, columns), down_taps = taps(in.rows, rows);
    Image wide(in.rows, columns);  // along each row first
    for (int y = 0; y < in.rows; ++y)
        for (int x = 0; x < columns; ++x)
            for (const Tap& tap : across_taps[x]) wide(y, x) += in(y, tap.from) * tap.weight;
    for (int y = 0; y < rows; ++y)
        for (const Tap& tap : down_taps[y])
            for (int x = 0; x < columns; ++x) out(y, x) += wide(tap.from, x) * tap.weight;
    return out;
}

Image area(const Image& in, int side) {
    if ((in.rows < side) != (in.columns < side))  // first shrink one axis, then grow the other
        return area_once(area_once(in, std::min(in.rows, side), std::min(in.columns, side)), side, side);
    return area_once(in, side, side);
}

// Each hole takes the value of its nearest pixel that is none: two passes with steps of 1, 1.4 and 2.1969, in 65536ths.
void fill(Image& mean, const std::vector<char>& hole) {
    struct Step {
        int down, right, length;
    };
    const Step steps[] = {{-2, -1, 143976}, {-2, 1, 143976}, {-1, -2, 143976}, {-1, -1, 91750},
                          {-1, 0, 65536},   {-1, 1, 91750},  {-1, 2, 143976},  {0, -1, 65536}};
    const int far_away = 1 << 30, rows = mean.rows, columns = mean.columns;
    std::vector<int> distance(hole.size());
    for (size_t i = 0; i < hole.size(); ++i) distance[i] = hole[i] ? far_away : 0;
    for (int sign : {1, -1})  // from the top left, then from the bottom right
        for (int i = 0; i < rows; ++i)
            for (int j = 0; j < columns; ++j) {
                const int y = sign == 1 ? i : rows - 1 - i, x = sign == 1 ? j : columns - 1 - j;
                int& own = distance[static_cast<size_t>(y) * columns + x];
                if (own <= (sign == 1 ? 0 : 65536)) continue;
                for (const Step& step : steps) {
                    const int ny = y + sign * step.down, nx = x + sign * step.right;
                    if (ny < 0 || nx < 0 || ny >= rows || nx >= columns) continue;
                    const int found = distance[static_cast<size_t>(ny) * columns + nx] + step.length;
                    if (found < own) {  // of several as near, the one found first stays
                        own = found;
                        mean(y, x) = mean(ny, nx);
                    }
                }
            }
}

std::vector<float> preprocess(const std::vector<double>& frame, int rows, int columns, const Sensor& sensor, int size) {
    const int side = static_cast<int>(std::nearbyint(size * 256.0 / 224.0));  // 5: input.resize_side of the manifest
    Image place(rows, columns), cover(rows, columns);
    bool holes = false;
    for (size_t i = 0; i < frame.size(); ++i) {
        const auto [value, valid] = measure(frame[i], sensor);  // 2
        const double unit = (value - sensor.low) / (sensor.high - sensor.low);
        place.at[i] = valid ? static_cast<float>(std::nearbyint(std::min(std::max(unit, 0.0), 1.0) * 65535.0)) : 0.0f;  // 3
        cover.at[i] = valid ? 1.0f : 0.0f;
        holes = holes || !valid;
    }
    Image mean = area(place, side);  // 4
    if (holes) {
        const Image share = area(cover, side);
        std::vector<char> hole(mean.at.size());
        for (size_t i = 0; i < hole.size(); ++i) {
            hole[i] = share.at[i] < 1e-3f;
            mean.at[i] /= std::max(share.at[i], 1e-3f);  // 6
        }
        if (std::all_of(hole.begin(), hole.end(), [](char one) { return one; }))
            throw std::runtime_error("every pixel is invalid: nothing was measured");
        fill(mean, hole);  // 7
    }
    std::vector<float> tensor;
    const int top = (side - size) / 2;  // 9: an odd margin leaves more below and on the right
    for (int y = top; y < top + size; ++y)
        for (int x = top; x < top + size; ++x)
            tensor.push_back(std::min(std::max(std::nearbyint(mean(y, x)), 0.0f), 65535.0f) / 65535.0f);  // 8, 10
    return tensor;
}

int main(int count, char** words) try {
    if (count < 6)
        throw std::runtime_error("usage: preprocess FRAME.pgm|FRAME.pfm SIZE UNIT LOW HIGH [INVALID...] "
                                 "[sunrgbd|thermal=OFFSET|disparity=BASELINE,FOCAL,OFFSET]");
    Sensor sensor;
    sensor.unit = std::stod(words[3]), sensor.low = std::stod(words[4]), sensor.high = std::stod(words[5]);
    for (int i = 6; i < count; ++i)
        if (!std::strcmp(words[i], "sunrgbd"))
            sensor.sunrgbd = true;
        else if (std::sscanf(words[i], "thermal=%lf", &sensor.offset) == 1)
            sensor.thermal = true;
        else if (std::sscanf(words[i], "disparity=%lf,%lf,%lf", &sensor.baseline, &sensor.focal, &sensor.offset) == 3)
            sensor.disparity = true;
        else
            sensor.invalid.push_back(std::stod(words[i]));
    std::ifstream file(words[1], std::ios::binary);
    std::string magic;
    int columns = 0, rows = 0;
    double most = 0;  // of a PFM its scale: negative for the low byte first
    if (!(file >> magic >> columns >> rows >> most) || (magic != "P5" && (magic != "Pf" || most >= 0)))
        throw std::runtime_error("expected a binary PGM, or a grey PFM with the low byte first");
    file.get();
    sensor.floating = magic == "Pf";
    std::vector<double> frame(static_cast<size_t>(rows) * columns);
    if (sensor.floating)
        for (int y = rows - 1; y >= 0; --y)  // from the bottom to the top
            for (int x = 0; x < columns; ++x) {
                uint32_t bits = 0;
                for (int byte = 0; byte < 4; ++byte) bits |= static_cast<uint32_t>(file.get() & 255) << 8 * byte;
                float number;
                std::memcpy(&number, &bits, sizeof number);
                frame[static_cast<size_t>(y) * columns + x] = number;
            }
    else
        for (double& pixel : frame) {  // PGM writes 16 bits with the high byte first
            pixel = file.get() & 255;
            if (most > 255) pixel = pixel * 256 + (file.get() & 255);
        }
    if (!file) throw std::runtime_error("the file is cut off");
    if (sensor.floating)  // as far as 32 bits hold them
        for (double& value : sensor.invalid) value = static_cast<float>(value);
    const std::vector<float> tensor = preprocess(frame, rows, columns, sensor, std::stoi(words[2]));
    std::cout.write(reinterpret_cast<const char*>(tensor.data()), static_cast<std::streamsize>(tensor.size() * sizeof(float)));
    return 0;
} catch (const std::exception& error) {
    std::cerr << "preprocess: " << error.what() << "\n";
    return 2;
}
