"""Writes rules/paddle-operators.toml from a genuine Paddle: every operator that its registries know.

    pip install paddlepaddle==3.3.1
    python rules/dumps/paddle_operators.py > rules/paddle-operators.toml

Which of them reach outside the graph is decided here, by a person.
"""
import textwrap

import paddle

# Calls Python, or reads or writes files by a name in the graph.
DANGEROUS = "py_func _run_python_op read_file load load_combine save save_combine create_py_reader"

# Runs another program, hands a graph to another engine, or talks to other machines: clusters, not inference.
DOUBTFUL = """
run_program run_program_grad _run_custom_op openvino_engine tensorrt_engine lite_engine cinn_launch c_comm_init c_comm_init_multitrainer
c_gen_xccl_id c_gen_nccl_id gen_nccl_id listen_and_serv send recv send_v2 recv_v2 p_send p_recv p_send_array p_recv_array
partial_send partial_recv fetch_barrier send_barrier heter_listen_and_serv send_and_recv pull_sparse push_sparse
distributed_lookup_table distributed_push_sparse checkpoint_notify
"""

registered = set(paddle.base.core.get_all_op_names())
functions = {name for name in dir(paddle._C_ops) if not name.startswith("_")}
# Operators of GPU builds and of older releases' models, which the registry of this one lacks.
OLDER = "fusion_group conditional_block_infer while_infer conv2d_fusion fc multihead_matmul skip_layernorm lookup_table flatten reshape"
known = sorted(registered | functions | set(OLDER.split()))


def table(key, names):
    text = " ".join(f'"{name}",' for name in sorted(names))
    return f"{key} = [\n" + textwrap.indent("\n".join(textwrap.wrap(text, 116, break_long_words=False)), "    ") + "\n]\n"


print(f"# Operators of Paddle {paddle.__version__}, written by rules/dumps/paddle_operators.py: edit that.\n")
print("# Calls Python, or reads or writes files by a name in the graph.")
print(table("dangerous", DANGEROUS.split()))
print("# Runs another program or engine, or talks to other machines.")
print(table("doubtful", DOUBTFUL.split()))
print("# Every operator of the registries.")
print(table("known", known), end="")
