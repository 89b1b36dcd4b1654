// A raw frame to a scene, with ONNX Runtime's C API and nothing else: all preprocessing is inside model.raw.onnx.
//
//   g++ -std=c++17 -O2 classify.cpp -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime -o classify
//   ./classify bundle/model.raw.onnx frame.pgm [CLASS ...]
//
// frame.pgm: raw counts of the sensor's size, one channel, 8 or 16 bits (binary PGM, "P5"). CLASS: names in the order of
// the bundle's manifest.json. Prints one JSON object: the number or name of the likeliest class, all probabilities, and
// the share of pixels that hold a measurement, where the sensor marks those that do not.
// Exit codes: 0 classified, 1 ONNX Runtime refused, 2 bad arguments or frame, 3 nothing was measured.

#include <onnxruntime_c_api.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

const OrtApi* ort = nullptr;

void check(OrtStatus* status) {
    if (status == nullptr) return;
    const std::string text = ort->GetErrorMessage(status);
    ort->ReleaseStatus(status);
    throw std::runtime_error("ONNX Runtime: " + text);
}

struct BadFrame : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Frame {
    int64_t width = 0, height = 0;
    bool wide = false;              // 16 bits
    std::vector<uint16_t> counts;   // row by row
};

// One number of a PGM's header; comments run from # to the end of the line.
int64_t number(std::FILE* file) {
    int letter = std::fgetc(file);
    while (letter == ' ' || letter == '\t' || letter == '\r' || letter == '\n' || letter == '#') {
        if (letter == '#') while (letter != '\n' && letter != EOF) letter = std::fgetc(file);
        letter = std::fgetc(file);
    }
    int64_t value = -1;
    for (; letter >= '0' && letter <= '9' && value < 1000000; letter = std::fgetc(file))
        value = (value < 0 ? 0 : value * 10) + (letter - '0');
    return value;  // the one white space behind it is read
}

Frame read_pgm(const char* path) {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path, "rb"), std::fclose);
    if (!file) throw BadFrame(std::string(path) + ": cannot be opened");
    char magic[2] = {};
    if (std::fread(magic, 1, 2, file.get()) != 2 || std::memcmp(magic, "P5", 2) != 0)
        throw BadFrame(std::string(path) + ": expected a binary PGM (P5), one channel");
    Frame frame;
    frame.width = number(file.get());
    frame.height = number(file.get());
    const int64_t most = number(file.get());
    if (frame.width < 1 || frame.height < 1 || most < 1 || most > 65535)
        throw BadFrame(std::string(path) + ": a header that names no size");
    frame.wide = most > 255;
    const size_t count = static_cast<size_t>(frame.width * frame.height);
    std::vector<uint8_t> bytes(count * (frame.wide ? 2 : 1));
    if (std::fread(bytes.data(), 1, bytes.size(), file.get()) != bytes.size())
        throw BadFrame(std::string(path) + ": ends before its last pixel");
    frame.counts.resize(count);
    for (size_t i = 0; i < count; ++i)  // big-endian
        frame.counts[i] = frame.wide ? static_cast<uint16_t>(bytes[2 * i] << 8 | bytes[2 * i + 1]) : bytes[i];
    return frame;
}

// Counts as the graph takes them: uint8, uint16 or int32. Their bytes, which must live as long as the tensor.
std::vector<uint8_t> packed(const Frame& frame, ONNXTensorElementDataType type) {
    const size_t count = frame.counts.size();
    std::vector<uint8_t> bytes;
    if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8) {
        if (frame.wide) throw BadFrame("the frame has 16 bits, the graph takes 8");
        bytes.assign(frame.counts.begin(), frame.counts.end());
    } else if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16) {
        if (!frame.wide) throw BadFrame("the frame has 8 bits, the graph takes 16");
        bytes.resize(2 * count);
        std::memcpy(bytes.data(), frame.counts.data(), bytes.size());
    } else if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32) {
        const std::vector<int32_t> wider(frame.counts.begin(), frame.counts.end());
        bytes.resize(4 * count);
        std::memcpy(bytes.data(), wider.data(), bytes.size());
    } else {
        throw BadFrame("the graph takes floating-point numbers, which a PGM does not hold");
    }
    return bytes;
}

ONNXTensorElementDataType input_type(OrtSession* session) {
    OrtTypeInfo* info = nullptr;
    check(ort->SessionGetInputTypeInfo(session, 0, &info));
    const OrtTensorTypeAndShapeInfo* tensor = nullptr;
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    OrtStatus* status = ort->CastTypeInfoToTensorInfo(info, &tensor);
    if (status == nullptr && tensor != nullptr) status = ort->GetTensorElementType(tensor, &type);
    ort->ReleaseTypeInfo(info);
    check(status);
    return type;
}

bool has_output(OrtSession* session, OrtAllocator* allocator, const char* wanted) {
    size_t count = 0;
    check(ort->SessionGetOutputCount(session, &count));
    bool found = false;
    for (size_t i = 0; i < count; ++i) {
        char* name = nullptr;
        check(ort->SessionGetOutputName(session, i, allocator, &name));
        found = found || std::strcmp(name, wanted) == 0;
        check(ort->AllocatorFree(allocator, name));
    }
    return found;
}

int classify(int argc, char** argv) {
    const Frame frame = read_pgm(argv[2]);
    OrtEnv* env = nullptr;
    OrtSessionOptions* options = nullptr;
    OrtSession* session = nullptr;
    check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "classify", &env));
    check(ort->CreateSessionOptions(&options));
    check(ort->CreateSession(env, argv[1], options, &session));
    OrtAllocator* allocator = nullptr;
    check(ort->GetAllocatorWithDefaultOptions(&allocator));

    const ONNXTensorElementDataType type = input_type(session);
    std::vector<uint8_t> bytes = packed(frame, type);
    const int64_t shape[3] = {1, frame.height, frame.width};
    OrtMemoryInfo* memory = nullptr;
    OrtValue* counts = nullptr;
    check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
    check(ort->CreateTensorWithDataAsOrtValue(memory, bytes.data(), bytes.size(), shape, 3, type, &counts));

    const bool marks = has_output(session, allocator, "measured");
    const char* const inputs[] = {"counts"};
    const char* const outputs[] = {"probabilities", "measured"};
    const OrtValue* const given[] = {counts};
    OrtValue* answers[2] = {};
    check(ort->Run(session, nullptr, inputs, given, 1, outputs, marks ? 2 : 1, answers));

    float measured = 1.0f, *probabilities = nullptr, *share = nullptr;
    check(ort->GetTensorMutableData(answers[0], reinterpret_cast<void**>(&probabilities)));
    if (marks) {
        check(ort->GetTensorMutableData(answers[1], reinterpret_cast<void**>(&share)));
        measured = *share;
    }
    OrtTensorTypeAndShapeInfo* about = nullptr;
    size_t classes = 0;
    check(ort->GetTensorTypeAndShape(answers[0], &about));
    check(ort->GetTensorShapeElementCount(about, &classes));
    size_t best = 0;
    for (size_t k = 1; k < classes; ++k) best = probabilities[k] > probabilities[best] ? k : best;
    if (static_cast<size_t>(argc) > 3 + best) std::printf("{\"label\": \"%s\", ", argv[3 + best]);
    else std::printf("{\"class\": %zu, ", best);
    std::printf("\"measured\": %.9g, \"probabilities\": [", measured);
    for (size_t k = 0; k < classes; ++k) std::printf("%s%.9g", k ? ", " : "", probabilities[k]);
    std::printf("]}\n");

    ort->ReleaseTensorTypeAndShapeInfo(about);
    for (OrtValue* answer : answers) if (answer != nullptr) ort->ReleaseValue(answer);
    ort->ReleaseValue(counts);
    ort->ReleaseMemoryInfo(memory);
    ort->ReleaseSession(session);
    ort->ReleaseSessionOptions(options);
    ort->ReleaseEnv(env);
    return measured > 0 ? 0 : 3;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: classify MODEL.raw.onnx FRAME.pgm [CLASS ...]\n");
        return 2;
    }
    const OrtApiBase* base = OrtGetApiBase();
    ort = base->GetApi(ORT_API_VERSION);
    if (ort == nullptr) {
        std::fprintf(stderr, "ONNX Runtime %s is older than these headers\n", base->GetVersionString());
        return 1;
    }
    try {
        return classify(argc, argv);
    } catch (const BadFrame& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
