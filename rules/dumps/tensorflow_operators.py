"""Writes rules/tensorflow-operators.toml from a genuine TensorFlow: every operator that its registry knows.

    pip install tensorflow-cpu==2.21.0
    python rules/dumps/tensorflow_operators.py > rules/tensorflow-operators.toml

Which of them reach outside the graph is decided here, by a person.
"""
import textwrap

import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session

# Reads or writes files by a name in the graph, calls Python, or talks to another machine.
DANGEROUS = """
ReadFile WriteFile MatchingFiles PyFunc PyFuncStateless EagerPyFunc ImmutableConst DebugIdentity
DebugIdentityV2 DebugIdentityV3 DebugNanCount DebugNumericSummary WholeFileReader WholeFileReaderV2 TextLineReader
TextLineReaderV2 FixedLengthRecordReader FixedLengthRecordReaderV2 TFRecordReader TFRecordReaderV2 LMDBReader
CreateSummaryFileWriter CreateSummaryDbWriter DatasetToTFRecord
ExperimentalDatasetToTFRecord SaveDataset SaveDatasetV2 SqlDataset ExperimentalSqlDataset Rpc TryRpc RpcCall RpcClient
RpcServer RpcServerStart RpcServerRegister LMDBDataset ExperimentalLMDBDataset GeneratorDataset
LoadAndRemapMatrix GenerateVocabRemapping ShellExecute
"""

# Opens data sets, writes caches, or runs on another device by address: input pipelines and clusters, not inference.
DOUBTFUL = """
TFRecordDataset TFRecordDatasetV2 TextLineDataset FixedLengthRecordDataset FixedLengthRecordDatasetV2 CSVDataset
CSVDatasetV2 ExperimentalCSVDataset CacheDataset CacheDatasetV2 SnapshotDataset SnapshotDatasetV2 LoadDataset
SnapshotDatasetReader SnapshotChunkDataset RemoteCall RegisterDataset RegisterDatasetV2 DataServiceDataset
DataServiceDatasetV2 DataServiceDatasetV3 DataServiceDatasetV4 DistributedSave DistributedLoad Send Recv _Send _Recv
_HostSend _HostRecv WriteSummary WriteRawProtoSummary WriteGraphSummary ImportEvent PrintV2 DecodeProtoV2 EncodeProto
"""

buffer = pywrap_tf_session.TF_GetAllOpList()
operators = op_def_pb2.OpList()
operators.ParseFromString(pywrap_tf_session.TF_GetBuffer(buffer))
known = sorted({op.name for op in operators.op} | {"_Arg", "_Retval", "_If", "_While", "_ListToArray", "_ArrayToList"})


def table(key, names):
    text = " ".join(f'"{name}",' for name in sorted(names))
    return f"{key} = [\n" + textwrap.indent("\n".join(textwrap.wrap(text, 116, break_long_words=False)), "    ") + "\n]\n"


print(f"# Operators of TensorFlow {tf.__version__}, written by rules/dumps/tensorflow_operators.py: edit that.\n")
print("# Reads or writes files by a name in the graph, calls Python, or talks to another machine.")
print(table("dangerous", DANGEROUS.split()))
print("# Opens data sets, writes caches, or runs on another device by address.")
print(table("doubtful", DOUBTFUL.split()))
print("# Every operator of the registry.")
print(table("known", known), end="")
